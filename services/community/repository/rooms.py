"""Rooms and their members. Functions with a connection join its transaction."""

from __future__ import annotations

import secrets
from uuid import UUID

from services.community.models import Place, Row
from shared.contract.community import CreateRoom, RoomScope
from shared.errors import PeerError
from shared.placement import Database
from shared.placement.connection import Connection

CODE_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
CODE_LENGTH = 8
#: A code that is taken already is as rare as 1 in 2^40 per room.
CODE_ATTEMPTS = 5

#: $1 is always the viewer.
_ROOM = """
SELECT r.id, r.creator_id, r.name, r.description, r.universe, r.is_public, r.max_members, r.member_count,
  r.join_code, r.created_at, r.updated_at, m.joined_at, m.user_id IS NOT NULL AS is_member
FROM fandom_rooms r LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = $1
"""
_FIND = _ROOM + " WHERE r.id = $2"
#: Condition and sort column of a scope.
_SCOPES: dict[RoomScope, tuple[str, str]] = {
    "mine": ("m.user_id IS NOT NULL", "m.joined_at"),
    "public": ("r.is_public", "r.created_at"),
}
_MEMBERS = """
SELECT user_id, role, joined_at FROM room_members
WHERE room_id = $1 AND ($2::timestamptz IS NULL OR (joined_at, user_id) > ($2, $3::uuid))
ORDER BY joined_at, user_id LIMIT $4
"""
_IS_MEMBER = "SELECT true FROM room_members WHERE room_id = $1 AND user_id = $2"
_ADD = """
INSERT INTO fandom_rooms (creator_id, name, description, universe, is_public, max_members,
  member_count, join_code)
VALUES ($1, $2, $3, $4, $5, $6, 1, $7) ON CONFLICT (join_code) DO NOTHING RETURNING id
"""
_ADD_MEMBER = "INSERT INTO room_members (room_id, user_id, role) VALUES ($1, $2, $3)"
_LOCK = "SELECT id, name, member_count, max_members FROM fandom_rooms WHERE id = $1 FOR UPDATE"
_LOCK_BY_CODE = """
SELECT id, name, member_count, max_members FROM fandom_rooms WHERE join_code = $1 FOR UPDATE
"""
_COUNT_ONE_MORE = "UPDATE fandom_rooms SET member_count = member_count + 1 WHERE id = $1"
_OWNER = "SELECT user_id FROM room_members WHERE room_id = $1 AND role = 'owner'"
_REMOVE_MEMBER = "DELETE FROM room_members WHERE room_id = $1 AND user_id = $2 RETURNING role"
_COUNT = """
UPDATE fandom_rooms SET member_count = (SELECT count(*) FROM room_members WHERE room_id = $1)
WHERE id = $1 RETURNING member_count
"""
_INHERIT = """
UPDATE room_members SET role = 'owner' WHERE room_id = $1 AND user_id =
  (SELECT user_id FROM room_members WHERE room_id = $1 ORDER BY joined_at, user_id LIMIT 1)
"""
_REMOVE_VOTES = "DELETE FROM community_votes WHERE target_type = 'room' AND target_id = $1"
_REMOVE = "DELETE FROM fandom_rooms WHERE id = $1"


class RoomRepository:
    """Rooms in the database that owns them now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, viewer: UUID, room_id: UUID) -> Row | None:
        """The room as the viewer sees it, whether or not they may."""
        return await self._database.fetchrow(_FIND, viewer, room_id)

    async def page(
        self, viewer: UUID, scope: RoomScope, after: Place | None, rows: int
    ) -> list[Row]:
        """At most `rows` rooms: own ones by joining, or public ones by age, newest first."""
        condition, column = _SCOPES[scope]
        return await self._database.fetch(
            f"{_ROOM} WHERE {condition}"
            f" AND ($2::timestamptz IS NULL OR ({column}, r.id) < ($2, $3::uuid))"
            f" ORDER BY {column} DESC, r.id DESC LIMIT $4",
            viewer,
            after.sort if after else None,
            after.id if after else None,
            rows,
        )

    async def members(self, room_id: UUID, after: Place | None, rows: int) -> list[Row]:
        """At most `rows` members, oldest first."""
        return await self._database.fetch(
            _MEMBERS, room_id, after.sort if after else None, after.id if after else None, rows
        )

    async def is_member(self, room_id: UUID, user_id: UUID) -> bool:
        return bool(await self._database.fetchval(_IS_MEMBER, room_id, user_id))


async def find(connection: Connection, viewer: UUID, room_id: UUID) -> Row | None:
    return await connection.fetchrow(_FIND, viewer, room_id)


async def add(connection: Connection, user_id: UUID, new: CreateRoom) -> UUID:
    """Insert a room with its creator as owner and first member."""
    for _ in range(CODE_ATTEMPTS):
        room_id: UUID | None = await connection.fetchval(
            _ADD,
            user_id,
            new.name,
            new.description,
            new.universe,
            new.settings.is_public,
            new.settings.max_members,
            _new_code(),
        )
        if room_id is not None:
            await connection.execute(_ADD_MEMBER, room_id, user_id, "owner")
            return room_id
    raise PeerError("no free join code was found for a room; look at fandom_rooms.join_code")


async def lock(connection: Connection, room_id: UUID) -> Row | None:
    """id, name, member_count and max_members of a room, locked."""
    return await connection.fetchrow(_LOCK, room_id)


async def lock_by_code(connection: Connection, code: str) -> Row | None:
    return await connection.fetchrow(_LOCK_BY_CODE, code)


async def is_member(connection: Connection, room_id: UUID, user_id: UUID) -> bool:
    return bool(await connection.fetchval(_IS_MEMBER, room_id, user_id))


async def enter(connection: Connection, room_id: UUID, user_id: UUID) -> None:
    """Add a member to a locked room."""
    await connection.execute(_ADD_MEMBER, room_id, user_id, "member")
    await connection.execute(_COUNT_ONE_MORE, room_id)


async def owner_of(connection: Connection, room_id: UUID) -> UUID | None:
    owner: UUID | None = await connection.fetchval(_OWNER, room_id)
    return owner


async def leave(connection: Connection, room_id: UUID, user_id: UUID) -> int | None:
    """Take a member out of a locked room; who is left, None if they were no member.

    The oldest member inherits an owner's room; the last one out deletes it.
    """
    role = await connection.fetchval(_REMOVE_MEMBER, room_id, user_id)
    if role is None:
        return None
    left: int = await connection.fetchval(_COUNT, room_id)
    if left == 0:
        await connection.execute(_REMOVE_VOTES, room_id)
        await connection.execute(_REMOVE, room_id)
    elif role == "owner":
        await connection.execute(_INHERIT, room_id)
    return left


def _new_code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
