"""What was said in rooms; numbered under the lock of the room, never by time."""

from __future__ import annotations

from uuid import UUID

from services.community.models import Row
from shared.placement import Database
from shared.placement.connection import Connection

#: A socket that met a table on the move waits no longer than this, in seconds: its client comes
#: back sooner than an HTTP request would be given up.
MOVE_SECONDS = 5.0

_NEWEST = """
SELECT id, room_id, seq, user_id, content, created_at FROM room_messages
WHERE room_id = $1 AND ($2::bigint IS NULL OR seq < $2) ORDER BY seq DESC LIMIT $3
"""
_OLDEST = """
SELECT id, room_id, seq, user_id, content, created_at FROM room_messages
WHERE room_id = $1 AND ($2::bigint IS NULL OR seq > $2) ORDER BY seq LIMIT $3
"""
_NUMBER = """
UPDATE fandom_rooms r SET last_seq = last_seq + 1
WHERE r.id = $1 AND EXISTS (SELECT 1 FROM room_members m WHERE m.room_id = r.id AND m.user_id = $2)
RETURNING last_seq
"""
_ADD = """
INSERT INTO room_messages (room_id, seq, user_id, content) VALUES ($1, $2, $3, $4)
RETURNING id, room_id, seq, user_id, content, created_at
"""


class RoomMessageRepository:
    """Messages in the database that owns them now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, room_id: UUID, *, oldest_first: bool, after: int | None, rows: int
    ) -> list[Row]:
        """At most `rows` messages by seq, those after a seq in the chosen direction."""
        return await self._database.fetch(
            _OLDEST if oldest_first else _NEWEST, room_id, after, rows
        )

    async def add(self, room_id: UUID, user_id: UUID, content: str) -> Row | None:
        """Number and keep a message; None if there is no such room or the user is no member."""

        async def store(connection: Connection) -> Row | None:
            seq = await connection.fetchval(_NUMBER, room_id, user_id)
            if seq is None:
                return None
            return await connection.fetchrow(_ADD, room_id, seq, user_id, content)

        return await self._database.transaction(store, move_seconds=MOVE_SECONDS)
