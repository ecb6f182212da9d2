"""Which request the current task works for; knows no web framework.

Logs, outbox rows and calls to other apps read it, so that one id follows a request everywhere.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # contract, 1.2
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")  # W3C 2.2

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def accept_request_id(offered: str | None) -> str:
    """The offered id if it is well formed, else a new UUID."""
    if offered is not None and REQUEST_ID.fullmatch(offered):
        return offered
    return str(uuid.uuid4())


def accept_traceparent(offered: str | None) -> str | None:
    """The offered W3C trace context if it is well formed, else None."""
    return offered if offered is not None and _TRACEPARENT.fullmatch(offered) else None


def bind_request(request_id: str, traceparent: str | None = None) -> None:
    """Tie the current task, and tasks it starts from now on, to a request."""
    _request_id.set(request_id)
    _traceparent.set(traceparent)
    structlog.contextvars.bind_contextvars(request_id=request_id)


def forget_request() -> None:
    """Undo bind_request in the current context."""
    _request_id.set(None)
    _traceparent.set(None)
    structlog.contextvars.clear_contextvars()


@contextmanager
def request_scope(request_id: str, traceparent: str | None = None) -> Iterator[None]:
    """As bind_request, undone at the end: for workers, where one task handles many messages."""
    tokens = _request_id.set(request_id), _traceparent.set(traceparent)
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        try:
            yield
        finally:
            _request_id.reset(tokens[0])
            _traceparent.reset(tokens[1])


def current_request_id() -> str | None:
    """Id of the request that the current task works for; goes into `requestid` of its events."""
    return _request_id.get()


def current_traceparent() -> str | None:
    """W3C trace context of the current request, or None."""
    return _traceparent.get()
