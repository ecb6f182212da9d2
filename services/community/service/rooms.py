"""Rooms: open, find, join, leave, members, messages."""

from __future__ import annotations

from uuid import UUID

from services.community.live.hub import RoomHub
from services.community.models import Place, Row, member_of, room_message_of, room_of
from services.community.repository import rooms
from services.community.repository.accounts import Accounts
from services.community.repository.notifications import Notice
from services.community.repository.room_messages import RoomMessageRepository
from services.community.repository.rooms import RoomRepository
from services.community.service.news import notify, tell
from services.community.service.pages import Listing, cut
from shared.contract.community import CreateRoom, Room, RoomMember, RoomMessage, RoomScope
from shared.errors import CallerError, Code, not_found
from shared.placement import Database
from shared.placement.connection import Connection


class Rooms:
    """Rooms as a user sees them."""

    def __init__(self, database: Database, accounts: Accounts, hub: RoomHub) -> None:
        self._database = database
        self._rooms = RoomRepository(database)
        self._messages = RoomMessageRepository(database)
        self._accounts = accounts
        self._hub = hub

    async def create(self, user_id: UUID, new: CreateRoom) -> Room:
        """The creator is owner and first member."""

        async def open_room(connection: Connection) -> Row:
            room_id = await rooms.add(connection, user_id, new)
            await _tell(connection, "room.created", user_id, room_id, 1)
            return await _seen(connection, user_id, room_id)

        return await self._shown(await self._database.transaction(open_room))

    async def page(
        self, user_id: UUID, scope: RoomScope, after: Place | None, limit: int
    ) -> Listing[Room]:
        rows = await self._rooms.page(user_id, scope, after, limit + 1)
        page, last = cut(rows, limit, "joined_at" if scope == "mine" else "created_at")
        authors = await self._accounts.authors(row["creator_id"] for row in page)
        return Listing([room_of(row, authors) for row in page], last)

    async def get(self, user_id: UUID, room_id: UUID) -> Room:
        """For members, or for anyone if it is public."""
        row = await self._rooms.find(user_id, room_id)
        if row is None or not (row["is_public"] or row["is_member"]):
            raise not_found("room")
        return await self._shown(row)

    async def join(self, user_id: UUID, code: str) -> Room:
        """By its code; nothing happens to those who are members. Raises ROOM_FULL."""

        async def enter(connection: Connection) -> Row:
            room = await rooms.lock_by_code(connection, code)
            if room is None:
                raise not_found("room")
            if not await rooms.is_member(connection, room["id"], user_id):
                await self._enter(connection, user_id, room)
            return await _seen(connection, user_id, room["id"])

        return await self._shown(await self._database.transaction(enter))

    async def _enter(self, connection: Connection, user_id: UUID, room: Row) -> None:
        room_id: UUID = room["id"]
        if room["member_count"] >= room["max_members"]:
            raise CallerError(Code.ROOM_FULL, "This room is full")
        await rooms.enter(connection, room_id, user_id)
        await _tell(connection, "room.joined", user_id, room_id, room["member_count"] + 1)
        owner = await rooms.owner_of(connection, room_id)
        if owner is not None and owner != user_id:
            notice = Notice(
                owner,
                "room_join",
                "Somebody joined your room",
                room["name"],
                f"join:{room_id}:{user_id}",
                {"room_id": str(room_id), "user_id": str(user_id)},
            )
            await notify(connection, self._accounts, notice)

    async def leave(self, user_id: UUID, room_id: UUID) -> None:
        """Also fine for those who are no members; their sockets are sent away everywhere."""

        async def go(connection: Connection) -> int | None:
            if await rooms.lock(connection, room_id) is None:
                raise not_found("room")
            left = await rooms.leave(connection, room_id, user_id)
            if left is not None:
                await _tell(connection, "room.left", user_id, room_id, left)
            return left

        if await self._database.transaction(go) is not None:
            await self._hub.tell_left(room_id, user_id)

    async def members(
        self, user_id: UUID, room_id: UUID, after: Place | None, limit: int
    ) -> Listing[RoomMember]:
        """Oldest first, for members."""
        await self._require_member(user_id, room_id)
        rows = await self._rooms.members(room_id, after, limit + 1)
        page, last = cut(rows, limit, "joined_at", "user_id")
        authors = await self._accounts.authors(row["user_id"] for row in page)
        return Listing([member_of(row, authors) for row in page], last)

    async def messages(
        self, user_id: UUID, room_id: UUID, *, oldest_first: bool, after: int | None, limit: int
    ) -> Listing[RoomMessage]:
        """By seq, for members."""
        await self._require_member(user_id, room_id)
        rows = await self._messages.page(
            room_id, oldest_first=oldest_first, after=after, rows=limit + 1
        )
        page, last = cut(rows, limit, "seq")
        authors = await self._accounts.authors(row["user_id"] for row in page)
        return Listing([room_message_of(row, authors) for row in page], last)

    async def _require_member(self, user_id: UUID, room_id: UUID) -> None:
        row = await self._rooms.find(user_id, room_id)
        if row is None:
            raise not_found("room")
        if not row["is_member"]:
            raise CallerError(Code.FORBIDDEN, "Only members can see this")

    async def _shown(self, row: Row) -> Room:
        return room_of(row, await self._accounts.authors([row["creator_id"]]))


async def _tell(
    connection: Connection, type_: str, user_id: UUID, room_id: UUID, member_count: int
) -> None:
    data = {"room_id": room_id, "member_count": member_count}
    await tell(connection, type_, user_id, data)


async def _seen(connection: Connection, user_id: UUID, room_id: UUID) -> Row:
    row = await rooms.find(connection, user_id, room_id)
    if row is None:
        raise not_found("room")
    return row
