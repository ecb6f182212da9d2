"""The outermost middleware: request id, headers of every answer, errors, access log, metrics.

Knows nothing of routes' meaning. It passes bodies through as they come, so streams stay streams.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import StranglerError
from shared.observability.context import (
    accept_request_id,
    accept_traceparent,
    bind_request,
    current_traceparent,
)
from shared.observability.metrics import HTTP_IN_FLIGHT, observe_request
from shared.observability.reports import report_exception
from shared.observability.tracing import NAMELESS, trace
from shared.placement.errors import CONTENTION_ERRORS
from shared.web.context import CONTEXT_KEY, RequestContext
from shared.web.cors import cors_headers
from shared.web.error_responses import error_response
from shared.web.health import is_draining

log = structlog.get_logger("access")

_WANTED = frozenset(
    {b"x-request-id", b"x-real-ip", b"x-shadow", b"origin", b"traceparent", b"user-agent"}
)


class Edge:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, *, service: str, allowed_origins: Iterable[str] = ()) -> None:
        self._app = app
        self._service = service
        self._origins = frozenset(origin.encode() for origin in allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in _WANTED}
        context = _new_context(scope, headers)
        scope[CONTEXT_KEY] = context
        bind_request(context.request_id, accept_traceparent(_text(headers.get(b"traceparent"))))
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send, context)
            return
        extra = cors_headers(headers.get(b"origin"), self._origins)
        if is_draining(scope):
            extra.append((b"connection", b"close"))  # pooled connections move on before the stop
        answer = _Answer(send, context, extra)
        started = time.perf_counter()
        HTTP_IN_FLIGHT.labels(self._service).inc()
        try:
            with trace("http.server", NAMELESS, current_traceparent()) as timed:
                try:
                    await self._serve(scope, receive, answer, context)
                finally:
                    timed.call(context.route.name if context.route else NAMELESS)
                    timed.answered(answer.status)
        finally:
            HTTP_IN_FLIGHT.labels(self._service).dec()
            self._record(scope, context, answer.status, time.perf_counter() - started)

    async def _serve_socket(
        self, scope: Scope, receive: Receive, send: Send, context: RequestContext
    ) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            report_exception(error, request_id=context.request_id)
            raise  # the server closes the socket with 1011

    async def _serve(
        self, scope: Scope, receive: Receive, answer: _Answer, context: RequestContext
    ) -> None:
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if isinstance(error, CONTENTION_ERRORS):
                log.warning("database_contention", error=type(error).__name__)
            elif not isinstance(error, StranglerError) or answer.is_started:
                report_exception(error, request_id=context.request_id)
            if answer.is_started:
                raise  # the server cuts the connection: the client sees that the body is not whole
            await error_response(error, context)(scope, receive, answer)

    def _record(self, scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
        route = context.route.name if context.route else "unknown"
        observe_request(self._service, route, scope["method"], status, seconds)
        log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 2),
            shadow=context.is_shadow,
        )


class _Answer:
    """A send callable that completes the head of the answer and remembers its status."""

    __slots__ = ("_context", "_extra", "_send", "status")

    def __init__(
        self, send: Send, context: RequestContext, extra: list[tuple[bytes, bytes]]
    ) -> None:
        self._send = send
        self._context = context
        self._extra = extra
        self.status = 0  # 0: nothing was sent

    @property
    def is_started(self) -> bool:
        return self.status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._complete(message.get("headers", ()))}
        await self._send(message)

    def _complete(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = [(name, value) for name, value in given if name.lower() != b"server"]
        if not any(name == b"cache-control" for name, _ in headers):
            headers.append((b"cache-control", b"no-store"))
        headers.append((b"x-content-type-options", b"nosniff"))
        headers.append((b"x-request-id", self._context.request_id.encode()))
        headers.extend(self._context.extra_headers)
        headers.extend(self._extra)
        return headers


def _new_context(scope: Scope, headers: dict[bytes, bytes]) -> RequestContext:
    peer = scope.get("client")
    return RequestContext(
        request_id=accept_request_id(_text(headers.get(b"x-request-id"))),
        address=_text(headers.get(b"x-real-ip")) or (peer[0] if peer else "unknown"),
        is_shadow=headers.get(b"x-shadow") == b"1",
        path=scope["path"],
    )


def _text(value: bytes | None) -> str | None:
    return value.decode("latin-1").strip() if value is not None else None
