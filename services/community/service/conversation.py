"""What happens in a room over its sockets: who may sit there, what they see first, what they say."""

from __future__ import annotations

from uuid import UUID

from services.community.live.hub import RoomHub
from services.community.live.seat import Seat
from services.community.models import Row, room_message_of, room_of
from services.community.repository.accounts import Accounts
from services.community.repository.room_messages import RoomMessageRepository
from services.community.repository.rooms import RoomRepository
from shared.contract.rooms import (
    ClientMessage,
    CloseCode,
    ErrorFrame,
    MessageFrame,
    Ready,
    Typing,
)
from shared.errors import Code
from shared.placement import Database
from shared.ratelimit.limiter import RateLimiter

RECENT_MESSAGES = 50
MESSAGES_PER_MINUTE = 30  # of one user in one room (contract, 1.14)
BUCKET = "room"  # of the counter that all apps share


class RefusedError(Exception):
    """The socket is closed with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class RoomConversation:
    """Rooms as their sockets see them."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        hub: RoomHub,
        limiter: RateLimiter,
        *,
        silence_seconds: float,
    ) -> None:
        """`limiter` knows the bucket BUCKET; a socket that is silent for longer is closed."""
        self.silence_seconds = silence_seconds
        self._rooms = RoomRepository(database)
        self._messages = RoomMessageRepository(database)
        self._accounts = accounts
        self._hub = hub
        self._limiter = limiter

    async def sit(self, seat: Seat) -> list[UUID]:
        """Take a seat; the users online. Raises RefusedError for strangers and for too many sockets."""
        row = await self._rooms.find(seat.user_id, seat.room_id)
        if row is None:
            raise RefusedError(CloseCode.NO_SUCH_ROOM)
        if not row["is_member"]:
            raise RefusedError(CloseCode.NOT_A_MEMBER)
        online = await self._hub.sit(seat)
        if online is None:
            raise RefusedError(CloseCode.TOO_MANY_SOCKETS)
        return online

    async def stand(self, seat: Seat) -> None:
        await self._hub.stand(seat)

    async def ready(self, seat: Seat, online: list[UUID]) -> Ready:
        """The first frame: the room, who is there, what was said last."""
        room = await self._rooms.find(seat.user_id, seat.room_id)
        if room is None:
            raise RefusedError(CloseCode.REMOVED)
        rows = await self._messages.page(
            seat.room_id, oldest_first=False, after=None, rows=RECENT_MESSAGES
        )
        authors = await self._accounts.authors(
            [room["creator_id"], *(row["user_id"] for row in rows)]
        )
        seat.seen_seq = rows[0]["seq"] if rows else 0
        return Ready(
            room=room_of(room, authors),
            online=tuple(online),
            recent=tuple(room_message_of(row, authors) for row in reversed(rows)),
        )

    async def type(self, seat: Seat) -> None:
        await self._hub.publish(seat.room_id, Typing(user_id=seat.user_id).model_dump_json())

    async def say(self, seat: Seat, said: ClientMessage) -> None:
        """Keep a message, then tell everybody, the sender too. Raises RefusedError for ex-members."""
        count = await self._limiter.count(BUCKET, f"{seat.room_id}:{seat.user_id}")
        if count is not None and not count.is_allowed:
            seat.put(error_text(Code.RATE_LIMITED, "At most 30 messages a minute"))
            return
        row = await self._messages.add(seat.room_id, seat.user_id, said.content)
        if row is None:
            raise RefusedError(CloseCode.REMOVED)
        await self._hub.publish(seat.room_id, await self._message_text(row, said.client_id))

    async def _message_text(self, row: Row, client_id: str | None) -> str:
        authors = await self._accounts.authors([row["user_id"]])
        message = room_message_of(row, authors)
        return MessageFrame(message=message, client_id=client_id).model_dump_json()


def error_text(code: Code, message: str) -> str:
    """An error frame; the socket stays open."""
    return ErrorFrame(code=code.value, message=message).model_dump_json()
