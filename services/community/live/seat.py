"""One socket in a room: frames wait in a queue until its writer has sent `ready`."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from uuid import UUID

from starlette.websockets import WebSocket, WebSocketDisconnect

from services.community.live.presence import Sitting
from shared.contract.rooms import CloseCode

QUEUE_FRAMES = 256  # a socket that is further behind is sent away


@dataclass(frozen=True, slots=True)
class _Frame:
    text: str
    seq: int | None = None  # of the message in it


class Seat:
    """Written to by the hub, emptied by its own writer."""

    def __init__(self, socket: WebSocket, room_id: UUID, user_id: UUID) -> None:
        self.socket = socket
        self.room_id = room_id
        self.user_id = user_id
        self.sitting = Sitting(str(user_id), uuid.uuid4().hex)
        self.seen_seq = 0  # messages up to here were part of `ready`
        self._waiting: asyncio.Queue[_Frame | int] = asyncio.Queue(QUEUE_FRAMES)

    def put(self, text: str, seq: int | None = None) -> None:
        """Send a frame; `seq` is that of the message in it."""
        self._put(_Frame(text, seq))

    def send_away(self, code: int) -> None:
        """Close with this code, after the frames that wait."""
        self._put(code)

    async def write(self) -> None:
        """Send what waits until the socket is closed, by either side."""
        try:
            while not isinstance(item := await self._waiting.get(), int):
                if item.seq is None or item.seq > self.seen_seq:
                    await self.socket.send_text(item.text)
            await self.socket.close(item)
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # the client is gone; its reader ends the seat

    def _put(self, item: _Frame | int) -> None:
        try:
            self._waiting.put_nowait(item)
        except asyncio.QueueFull:
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self._waiting.put_nowait(CloseCode.MAINTENANCE)  # try again later
