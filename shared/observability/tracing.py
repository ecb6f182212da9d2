"""Traces of requests and events in Sentry, continued by the W3C trace context; nothing without a DSN.

The span of a request and the spans of every event that it causes have one trace id, which the logs
carry as well. Knows no web framework and no broker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sentry_sdk
from sentry_sdk.consts import SPANSTATUS
from sentry_sdk.tracing import Span

#: Name of a trace that is about nothing: an unknown path, a health check. It is not sent.
NAMELESS = "unknown"


class Trace:
    """What is being timed; without Sentry it does nothing."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def call(self, name: str) -> None:
        """Give it its name, once that is known: a route, never a path with ids in it."""
        if self._span is not None:
            sentry_sdk.get_current_scope().set_transaction_name(name, source="route")

    def answered(self, status: int) -> None:
        """Note an HTTP status; 0 means that the client left before the answer began."""
        if self._span is None:
            return
        if status:
            self._span.set_http_status(status)
        else:
            self._span.set_status(SPANSTATUS.CANCELLED)


_OFF = Trace()


@contextmanager
def trace(
    operation: str, name: str, traceparent: str | None, data: Mapping[str, Any] | None = None
) -> Iterator[Trace]:
    """Time the block as one transaction that continues `traceparent`; its errors are marked failed.

    `operation` is Sentry's word: `http.server`, `queue.process`.
    """
    if not sentry_sdk.get_client().is_active():
        yield _OFF
        return
    with sentry_sdk.isolation_scope():
        begun = sentry_sdk.continue_trace(
            _headers(traceparent), op=operation, name=name, source="route"
        )
        with sentry_sdk.start_transaction(begun) as span:
            for key, value in (data or {}).items():
                span.set_data(key, value)
            yield Trace(span)
            if span.status is None:
                span.set_status(SPANSTATUS.OK)


def _headers(traceparent: str | None) -> dict[str, str]:
    """Trace and parent as Sentry reads them; whether to sample is decided here, not by the sender."""
    if traceparent is None:
        return {}
    _version, trace_id, parent_id, _flags = traceparent.split("-")
    return {"sentry-trace": f"{trace_id}-{parent_id}"}


def share_of(rate: float) -> Callable[[Mapping[str, Any]], float]:
    """A sampler that keeps this share of all traces, and of each kept one every part.

    Every process decides by the trace id, so a trace is in Sentry whole or not at all.
    """

    def sample(context: Mapping[str, Any]) -> float:
        trace_id = str(context["transaction_context"]["trace_id"])
        return 1.0 if int(trace_id[-8:], 16) < rate * 2**32 else 0.0

    return sample
