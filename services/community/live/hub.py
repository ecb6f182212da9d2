"""The open sockets of this process: seats in rooms, delivery, and sending people away."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Gauge
from redis.asyncio import Redis

from services.community.live.fanout import Fanout, open_fanout
from services.community.live.presence import Presence, Sitting
from services.community.live.seat import Seat
from shared.contract.rooms import CloseCode
from shared.contract.rooms import Presence as PresenceFrame
from shared.errors import PeerError
from shared.observability.reports import report_exception
from shared.placement.pools import CONNECTION_ERRORS

log = structlog.get_logger(__name__)

SEATS_MAX = 5  # sockets of one user in one room (contract, 1.14)
TEND_SECONDS = 2.0
TENDS_PER_REFRESH = 15  # presence is refreshed, and membership looked at, every 30 s

ROOM_SOCKETS = Gauge("room_sockets_open", "Sockets of rooms that this process serves")

IsMember = Callable[[UUID, UUID], Awaitable[bool]]


class RoomHub:
    """One per web process."""

    def __init__(
        self, presence: Presence, is_member: IsMember, is_closed: Callable[[], bool]
    ) -> None:
        """`is_member(room, user)` asks the tables; `is_closed` says whether rooms are in maintenance."""
        self._presence = presence
        self._is_member = is_member
        self._is_closed = is_closed
        self._seats: dict[UUID, set[Seat]] = defaultdict(set)
        self._checks: set[asyncio.Task[None]] = set()
        self.fanout: Fanout

    async def sit(self, seat: Seat) -> list[UUID] | None:
        """Take a seat; the users online, or None if this one has too many sockets in the room."""
        sittings = await self._sittings(seat.room_id)
        own = seat.sitting.user_id
        if sum(sitting.user_id == own for sitting in sittings) >= SEATS_MAX:
            return None
        self._seats[seat.room_id].add(seat)
        ROOM_SOCKETS.inc()
        await self._presence.keep(seat.room_id, seat.sitting)
        await self.fanout.join(seat.room_id)
        if all(sitting.user_id != own for sitting in sittings):
            await self._tell_presence(seat.room_id, seat.user_id, "online")
        return [UUID(user) for user in sorted({sitting.user_id for sitting in sittings} | {own})]

    async def stand(self, seat: Seat) -> None:
        """Give a seat back; the last one of a user says so to the room."""
        seats = self._seats[seat.room_id]
        seats.discard(seat)
        ROOM_SOCKETS.dec()
        await self._presence.drop(seat.room_id, seat.sitting)
        sittings = await self._sittings(seat.room_id)
        if all(sitting.user_id != seat.sitting.user_id for sitting in sittings):
            await self._tell_presence(seat.room_id, seat.user_id, "offline")
        if not seats and self._seats.get(seat.room_id) is seats:
            del self._seats[seat.room_id]
            await self.fanout.part(seat.room_id)

    async def publish(self, room_id: UUID, text: str) -> None:
        """A server frame to everybody in the room, on every app."""
        await self.fanout.publish(room_id, text)

    async def tell_left(self, room_id: UUID, user_id: UUID) -> None:
        """A member has left: every app looks whether sockets of theirs must go."""
        await self._tell_presence(room_id, user_id, "offline")

    def send_all_away(self, code: int) -> None:
        for seats in self._seats.values():
            for seat in seats:
                seat.send_away(code)

    def drain(self) -> None:
        """The process ends: everybody reconnects somewhere else."""
        self.send_all_away(CloseCode.RESTART)

    def deliver(self, room_id: UUID, frame: dict[str, Any], text: str) -> None:
        """A frame for the sockets of this process; nobody hears of their own typing or presence."""
        kind, about = frame.get("type"), frame.get("user_id")
        seq = frame["message"]["seq"] if kind == "message" else None
        for seat in tuple(self._seats.get(room_id, ())):
            if about != seat.sitting.user_id:
                seat.put(text, seq)
            elif kind == "presence" and frame.get("status") == "offline":
                self._check_later(seat)

    async def tend(self) -> None:
        """Close sockets in maintenance, keep presence alive, look at memberships; until cancelled."""
        turn = 0
        while True:
            await asyncio.sleep(TEND_SECONDS)
            turn += 1
            if self._is_closed():
                self.send_all_away(CloseCode.MAINTENANCE)
            if turn % TENDS_PER_REFRESH == 0:
                for seat in [seat for seats in self._seats.values() for seat in seats]:
                    await self._presence.keep(seat.room_id, seat.sitting)
                    self._check_later(seat)

    async def stop_checks(self) -> None:
        for task in self._checks:
            task.cancel()
        await asyncio.gather(*self._checks, return_exceptions=True)

    async def _sittings(self, room_id: UUID) -> list[Sitting]:
        """Over all apps; without Redis those of this process."""
        known = await self._presence.sittings(room_id)
        return known if known is not None else self._local(room_id)

    def _local(self, room_id: UUID) -> list[Sitting]:
        return [seat.sitting for seat in self._seats.get(room_id, ())]

    async def _tell_presence(self, room_id: UUID, user_id: UUID, status: str) -> None:
        frame = PresenceFrame.model_validate({"user_id": user_id, "status": status})
        await self.publish(room_id, frame.model_dump_json())

    def _check_later(self, seat: Seat) -> None:
        task = asyncio.create_task(self._check(seat))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _check(self, seat: Seat) -> None:
        """Send a socket away whose user is no member any more."""
        try:
            if not await self._is_member(seat.room_id, seat.user_id):
                seat.send_away(CloseCode.REMOVED)
        except (PeerError, *CONNECTION_ERRORS) as error:
            log.warning("membership_unknown", reason=type(error).__name__)
        except Exception as error:
            report_exception(error, room_id=str(seat.room_id))


@asynccontextmanager
async def open_hub(
    redis_url: str, redis: Redis, is_member: IsMember, is_closed: Callable[[], bool]
) -> AsyncIterator[RoomHub]:
    """The hub of a process while the block runs; at its end everybody is sent away.

    `redis` answers short questions; the subscription has a client of its own.
    """
    hub = RoomHub(Presence(redis), is_member, is_closed)
    async with open_fanout(redis_url, hub.deliver) as fanout:
        hub.fanout = fanout
        tending = asyncio.create_task(hub.tend(), name="room-hub")
        try:
            yield hub
        finally:
            hub.drain()
            tending.cancel()
            await asyncio.gather(tending, return_exceptions=True)
            await hub.stop_checks()
