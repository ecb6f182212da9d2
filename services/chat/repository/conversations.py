"""The SQL of conversations: own ones, lists, groups, history for a prompt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chat.models.prompts import Turn
from services.chat.models.rows import conversation_of
from shared.contract.chat import Conversation, ConversationType, NewParticipant
from shared.events.envelope import new_event
from shared.events.outbox import add
from shared.placement import Database
from shared.placement.connection import Connection

#: Rows that are looked at for a prompt; the budget of tokens is reached long before.
HISTORY_ROWS_MAX = 2000

_COLUMNS = """id, conversation_type, title, character_name, character_series, character_id,
 participants, message_count, token_count, last_message_at, created_at, updated_at"""
_SELECT = f"SELECT {_COLUMNS} FROM conversations"  # noqa: S608 - constants
_INSERT_GROUP = f"""
INSERT INTO conversations (user_id, conversation_type, title, participants)
VALUES ($1, 'group', $2, $3::jsonb) RETURNING {_COLUMNS}"""  # noqa: S608 - constants
_DELETE = "DELETE FROM conversations WHERE id = $1 AND user_id = $2 RETURNING id"
# The newest messages whose tokens, added up from the newest one, stay within $2.
_HISTORY = """
SELECT sender, content FROM (
  SELECT seq, sender, content,
    sum((char_length(content) + 3) / 4) OVER (ORDER BY seq DESC) AS tokens
  FROM messages WHERE conversation_id = $1 ORDER BY seq DESC LIMIT $3) newest
WHERE tokens <= $2 ORDER BY seq"""


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which conversations a list shows; None is no condition."""

    form: ConversationType | None = None
    character: str | None = None


class ConversationRepository:
    """Conversations of the database that owns them now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation | None:
        """The user's own conversation; None for an unknown one and for those of others."""
        row = await self._database.fetchrow(
            _SELECT + " WHERE id = $1 AND user_id = $2", conversation_id, user_id
        )
        return None if row is None else conversation_of(row)

    async def newest(
        self, user_id: UUID, chosen: ListFilter, after: tuple[datetime, UUID] | None, rows: int
    ) -> list[Conversation]:
        """At most `rows` conversations by last message, then id, descending."""
        conditions = ["user_id = $1"]
        values: list[object] = [user_id, rows]

        def value(given: object) -> str:
            values.append(given)
            return f"${len(values)}"

        if chosen.form is not None:
            conditions.append(f"conversation_type = {value(chosen.form)}")
        if chosen.character is not None:
            conditions.append(f"lower(character_name) = lower({value(chosen.character)})")
        if after is not None:
            conditions.append(f"(last_message_at, id) < ({value(after[0])}, {value(after[1])})")
        sql = f"{_SELECT} WHERE {' AND '.join(conditions)}"
        found = await self._database.fetch(
            sql + " ORDER BY last_message_at DESC, id DESC LIMIT $2", *values
        )
        return [conversation_of(row) for row in found]

    async def create_group(
        self, user_id: UUID, title: str, participants: Sequence[NewParticipant]
    ) -> Conversation:
        """A new group; publishes conversation.created."""
        stored = json.dumps([{"name": one.name, "series": one.series} for one in participants])

        async def create(connection: Connection) -> Conversation:
            row = await connection.fetchrow(_INSERT_GROUP, user_id, title, stored)
            assert row is not None  # noqa: S101 - INSERT … RETURNING gives its row
            made = conversation_of(row)
            await announce(connection, user_id, made)
            return made

        return await self._database.transaction(create)

    async def delete(self, user_id: UUID, conversation_id: UUID) -> bool:
        """Remove an own conversation with its messages; False if there is none."""

        async def delete(connection: Connection) -> bool:
            if await connection.fetchval(_DELETE, conversation_id, user_id) is None:
                return False
            data = {"conversation_id": conversation_id}
            await add(
                connection,
                new_event("conversation.deleted", source="chat", subject=user_id, data=data),
            )
            return True

        return await self._database.transaction(delete)

    async def history(self, conversation_id: UUID, budget_tokens: int) -> list[Turn]:
        """As many of the newest messages as the budget holds, oldest first."""
        rows = await self._database.fetch(
            _HISTORY, conversation_id, budget_tokens, HISTORY_ROWS_MAX
        )
        return [Turn(row["sender"], row["content"]) for row in rows]


async def announce(connection: Connection, user_id: UUID, made: Conversation) -> None:
    """Publish conversation.created in the transaction that makes it."""
    data = {
        "conversation_id": made.id,
        "conversation_type": made.conversation_type,
        "character_name": made.character_name,
        "character_series": made.character_series,
        "participants": [one.model_dump() for one in made.participants],
    }
    await add(
        connection, new_event("conversation.created", source="chat", subject=user_id, data=data)
    )
