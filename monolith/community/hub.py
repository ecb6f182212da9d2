"""The open sockets of this process: seats in rooms, delivery, and sending people away."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections import defaultdict
from typing import Any
from uuid import UUID

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from monolith.community.fanout import Fanout
from monolith.community.presence import Presence
from monolith.context import Context
from monolith.database import database_error
from monolith.settings import Settings

log = logging.getLogger("monolith.community.hub")
QUEUE_FRAMES = 256  # a socket that is further behind is sent away
SEATS_MAX = 5  # sockets of one user in one room (contract, 1.14)
TEND_SECONDS = 2.0
REFRESH_SECONDS = 30.0
RESTART, TRY_LATER, REMOVED = 1012, 1013, 4410


class Seat:
    """One socket; frames wait in a queue until its writer has sent `ready`."""

    def __init__(self, socket: WebSocket, room_id: UUID, user_id: UUID) -> None:
        self.socket = socket
        self.room_id = room_id
        self.user_id = user_id
        self.id = uuid.uuid4().hex
        self.seen_seq = 0  # messages up to here were part of `ready`
        self._frames: asyncio.Queue[str | int] = asyncio.Queue(QUEUE_FRAMES)

    def put(self, frame: dict[str, Any]) -> None:
        self._put(json.dumps(frame, ensure_ascii=False))

    def send_away(self, code: int) -> None:
        self._put(code)

    def _put(self, item: str | int) -> None:
        try:
            self._frames.put_nowait(item)
        except asyncio.QueueFull:
            while not self._frames.empty():
                self._frames.get_nowait()
            self._frames.put_nowait(TRY_LATER)

    async def write(self) -> None:
        """Send what is queued until the socket is closed, by either side."""
        try:
            while True:
                item = await self._frames.get()
                if isinstance(item, int):
                    await self.socket.close(item)
                    return
                await self.socket.send_text(item)
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # the client is gone; its reader ends the seat


class RoomHub:
    """One per web process."""

    def __init__(self, settings: Settings) -> None:
        self._seats: dict[UUID, set[Seat]] = defaultdict(set)
        self._fanout = Fanout(settings.redis_url, self._deliver)
        self._context: Context | None = None
        self._tending: asyncio.Task[None] | None = None
        self._checks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        await self._fanout.open()

    async def close(self) -> None:
        await self.drain()
        tasks = [t for t in (self._tending, *self._checks) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._fanout.close()

    async def drain(self) -> None:
        """The process ends: everybody reconnects somewhere else."""
        self._send_all_away(RESTART)

    def _send_all_away(self, code: int) -> None:
        for seats in self._seats.values():
            for seat in seats:
                seat.send_away(code)

    def _local(self, room_id: UUID, user_id: UUID) -> list[Seat]:
        return [s for s in self._seats.get(room_id, ()) if s.user_id == user_id]

    async def sit(self, context: Context, seat: Seat) -> list[str] | None:
        """Take a seat; returns the user ids online, or None if the user has too many sockets."""
        if self._tending is None:
            self._context = context
            self._tending = asyncio.create_task(self._tend())
        presence = Presence(context.redis)
        known = await presence.seats(seat.room_id)
        pairs = known if known is not None else self._pairs(seat.room_id)
        if sum(user == str(seat.user_id) for user, _ in pairs) >= SEATS_MAX:
            return None
        self._seats[seat.room_id].add(seat)
        await presence.keep(seat.room_id, seat.user_id, seat.id)
        await self._fanout.join(seat.room_id)
        if all(user != str(seat.user_id) for user, _ in pairs):
            await self.publish_presence(seat, "online")
        return sorted({user for user, _ in pairs} | {str(seat.user_id)})

    def _pairs(self, room_id: UUID) -> list[tuple[str, str]]:
        return [(str(s.user_id), s.id) for s in self._seats.get(room_id, ())]

    async def stand(self, context: Context, seat: Seat) -> None:
        """Give a seat back; the last one of a user says so to the room."""
        self._seats[seat.room_id].discard(seat)
        presence = Presence(context.redis)
        await presence.drop(seat.room_id, seat.user_id, seat.id)
        known = await presence.seats(seat.room_id)
        pairs = known if known is not None else self._pairs(seat.room_id)
        if all(user != str(seat.user_id) for user, _ in pairs):
            await self.publish_presence(seat, "offline")
        if not self._seats[seat.room_id]:
            del self._seats[seat.room_id]
            await self._fanout.part(seat.room_id)

    async def publish(self, room_id: UUID, frame: dict[str, Any]) -> None:
        await self._fanout.publish(room_id, frame)

    async def publish_presence(self, seat: Seat, status: str) -> None:
        frame = {"type": "presence", "user_id": str(seat.user_id), "status": status}
        await self.publish(seat.room_id, frame)

    async def tell_left(self, room_id: UUID, user_id: UUID) -> None:
        """A member has left: every app looks whether sockets of theirs must go."""
        frame = {"type": "presence", "user_id": str(user_id), "status": "offline"}
        await self.publish(room_id, frame)

    def _deliver(self, room_id: UUID, frame: dict[str, Any]) -> None:
        """A frame for the sockets of this process; nobody hears of their own typing or presence."""
        kind, about = frame.get("type"), frame.get("user_id")
        for seat in tuple(self._seats.get(room_id, ())):
            if kind == "message" and frame["message"]["seq"] <= seat.seen_seq:
                continue
            if about != str(seat.user_id):
                seat.put(frame)
            elif kind == "presence" and frame.get("status") == "offline":
                self._check_later(seat)

    def _check_later(self, seat: Seat) -> None:
        task = asyncio.create_task(self._check(seat))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _check(self, seat: Seat) -> None:
        """Send a socket away whose user is no member any more."""
        if self._context is None:
            return
        try:
            member = await self._context.database.value(
                "SELECT true FROM room_members WHERE room_id = $1 AND user_id = $2",
                seat.room_id,
                seat.user_id,
            )
        except Exception as error:
            if database_error(error) is None:
                raise
            return
        if not member:
            seat.send_away(REMOVED)

    async def _tend(self) -> None:
        """Maintenance closes sockets; presence is kept alive."""
        refreshed = time.monotonic()
        while self._context is not None:
            await asyncio.sleep(TEND_SECONDS)
            if await self._context.maintenance.refusal("community", "websocket") is not None:
                self._send_all_away(TRY_LATER)
            if time.monotonic() - refreshed >= REFRESH_SECONDS:
                refreshed = time.monotonic()
                presence = Presence(self._context.redis)
                for seats in list(self._seats.values()):
                    for seat in tuple(seats):
                        await presence.keep(seat.room_id, seat.user_id, seat.id)
                        self._check_later(seat)
