"""Keeps the requests that came, for tests to look at; knows no vendor and keeps no secret."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Requests that are kept; older ones are forgotten.
KEPT_REQUESTS = 1000
#: Bytes of a body that are kept.
KEPT_BODY_BYTES = 64 * 1024
SECRET_HEADERS = frozenset({"authorization", "x-api-key", "apikey", "cookie"})


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request; `vendor` is the first part of its path."""

    vendor: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str


class Recorder:
    """The newest requests to vendors' paths, oldest first."""

    def __init__(self) -> None:
        self._requests: deque[RecordedRequest] = deque(maxlen=KEPT_REQUESTS)

    def add(self, request: RecordedRequest) -> None:
        self._requests.append(request)

    def listing(self, vendor: str | None) -> list[dict[str, object]]:
        """Every kept request, or those of one vendor."""
        return [asdict(one) for one in self._requests if vendor in (None, one.vendor)]

    def reset(self) -> None:
        self._requests.clear()


class RecordingMiddleware:
    """Notes each request as it passes; never holds it up."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path.startswith("/_") or path == "/healthz":
            await self._app(scope, receive, send)
            return
        body = bytearray()

        async def listen() -> Message:
            message = await receive()
            chunk = message.get("body", b"")
            body.extend(chunk[: KEPT_BODY_BYTES - len(body)])
            return message

        try:
            await self._app(scope, listen, send)
        finally:
            self._recorder.add(_recorded(scope, bytes(body)))


def _recorded(scope: Scope, body: bytes) -> RecordedRequest:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        headers[name] = "***" if name in SECRET_HEADERS else raw_value.decode("latin-1")
    return RecordedRequest(
        vendor=scope["path"].split("/")[1],
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body.decode("utf-8", "replace"),
    )
