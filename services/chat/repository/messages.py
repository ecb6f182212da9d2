"""The SQL of single messages and of pages of them; every statement checks the owner."""

from __future__ import annotations

from uuid import UUID

from services.chat.models.rows import message_of
from shared.contract.chat import ListOrder, Message, Reaction
from shared.events.envelope import new_event
from shared.events.outbox import add
from shared.placement import Database
from shared.placement.connection import Connection

# $1 is always the viewer, whose conversations these are and whose reaction shows.
_SELECT = """
SELECT m.id, m.conversation_id, m.seq, m.role, m.sender, m.content, m.message_type, m.media_id,
 m.pinned, m.edited_at, m.model, m.tokens, m.truncated, m.created_at, m.updated_at,
 r.reaction_type AS reaction
FROM messages m JOIN conversations c ON c.id = m.conversation_id
LEFT JOIN message_reactions r ON r.message_id = m.id AND r.user_id = $1
WHERE c.user_id = $1"""
_EDIT = "UPDATE messages SET content = $2, edited_at = now() WHERE id = $1"
_PIN = "UPDATE messages SET pinned = $2 WHERE id = $1 AND pinned <> $2"
_DELETE = """
DELETE FROM messages m USING conversations c
WHERE m.id = $1 AND c.id = m.conversation_id AND c.user_id = $2
RETURNING m.conversation_id, m.role"""
_COUNT_DOWN = """
UPDATE conversations SET message_count = greatest(message_count - 1, 0) WHERE id = $1"""
_REACT = """
INSERT INTO message_reactions (message_id, user_id, reaction_type) VALUES ($1, $2, $3)
ON CONFLICT (message_id, user_id) DO UPDATE SET reaction_type = EXCLUDED.reaction_type"""
_TAKE_BACK = "DELETE FROM message_reactions WHERE message_id = $1 AND user_id = $2"


class MessageRepository:
    """Messages of the database that owns them now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user_id: UUID, message_id: UUID) -> Message | None:
        """A message in an own conversation; None for any other."""
        row = await self._database.fetchrow(_SELECT + " AND m.id = $2", user_id, message_id)
        return None if row is None else message_of(row)

    async def page(
        self,
        user_id: UUID,
        conversation_id: UUID,
        *,
        order: ListOrder,
        only_pinned: bool,
        after: int | None,
        rows: int,
    ) -> list[Message]:
        """At most `rows` messages after a seq, in the order of seq."""
        direction, sign = ("ASC", ">") if order == "asc" else ("DESC", "<")
        pinned = " AND m.pinned" if only_pinned else ""
        found = await self._database.fetch(
            f"{_SELECT} AND m.conversation_id = $2{pinned}"
            f" AND ($3::bigint IS NULL OR m.seq {sign} $3) ORDER BY m.seq {direction} LIMIT $4",
            user_id,
            conversation_id,
            after,
            rows,
        )
        return [message_of(row) for row in found]

    async def every(self, user_id: UUID, conversation_id: UUID) -> list[Message]:
        """The whole conversation, oldest first."""
        found = await self._database.fetch(
            _SELECT + " AND m.conversation_id = $2 ORDER BY m.seq", user_id, conversation_id
        )
        return [message_of(row) for row in found]

    async def edit(self, message_id: UUID, content: str) -> None:
        await self._execute(_EDIT, message_id, content)

    async def pin(self, message_id: UUID, *, pinned: bool) -> None:
        await self._execute(_PIN, message_id, pinned)

    async def react(self, user_id: UUID, message_id: UUID, reaction: Reaction | None) -> None:
        """Set the user's reaction, or take it back."""
        if reaction is None:
            await self._execute(_TAKE_BACK, message_id, user_id)
        else:
            await self._execute(_REACT, message_id, user_id, reaction)

    async def delete(self, user_id: UUID, message_id: UUID) -> bool:
        """Remove a message of an own conversation; False if there is none. Other seqs stay."""

        async def delete(connection: Connection) -> bool:
            row = await connection.fetchrow(_DELETE, message_id, user_id)
            if row is None:
                return False
            await connection.execute(_COUNT_DOWN, row["conversation_id"])
            data = {
                "conversation_id": row["conversation_id"],
                "message_id": message_id,
                "role": row["role"],
            }
            await add(
                connection, new_event("message.deleted", source="chat", subject=user_id, data=data)
            )
            return True

        return await self._database.transaction(delete)

    async def _execute(self, sql: str, *values: object) -> None:
        async def run(connection: Connection) -> None:
            await connection.execute(sql, *values)

        await self._database.transaction(run)
