"""The event stream of one reply: numbered SSE events, fed by the work, read by the answer; no SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

from pydantic import BaseModel

PING_SECONDS = 15.0
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


def format_event(number: int, name: str, data: Mapping[str, object] | BaseModel) -> bytes:
    text = (
        data.model_dump_json()
        if isinstance(data, BaseModel)
        else json.dumps(data, ensure_ascii=False)
    )
    return f"id: {number}\nevent: {name}\ndata: {text}\n\n".encode()


class EventStream:
    """Work may go on after the reader has left; what it sends then is dropped."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._number = 0
        self._left = False

    def send(self, name: str, data: Mapping[str, object] | BaseModel) -> None:
        self._number += 1
        if not self._left:
            self._queue.put_nowait(format_event(self._number, name, data))

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Events as they come, with a comment every 15 s of silence."""
        try:
            while True:
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        chunk = await self._queue.get()
                except TimeoutError:
                    yield b": ping\n\n"
                    continue
                if chunk is None:
                    return
                yield chunk
        finally:
            self._left = True
