"""A response whose pieces can end in a cut line, as a vendor's stream does when it dies."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class StreamCut(Exception):  # noqa: N818 - not a failure of ours: the script wants it
    """Raised by the pieces: the line is closed without the end of the body."""


class EventStream(Response):
    """Server-sent events from an async generator."""

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(None, 200, headers)
        self._pieces = pieces
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except StreamCut:
            return  # the server closes the connection, for the body has no end
        await send({"type": "http.response.body", "body": b"", "more_body": False})
