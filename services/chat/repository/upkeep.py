"""What is done to conversations without a request: erasure, lost pictures, pauses. SQL only."""

from __future__ import annotations

from uuid import UUID

from shared.events.envelope import Event, new_event
from shared.events.outbox import add
from shared.placement.connection import Connection

PAUSE_MINUTES = 30  # a conversation counts as completed after this long without a message
BATCH_ROWS = 200

_ERASE_CONVERSATIONS = "DELETE FROM conversations WHERE user_id = $1"
_ERASE_REACTIONS = "DELETE FROM message_reactions WHERE user_id = $1"
_FORGET_MEDIA = "UPDATE messages SET media_id = NULL WHERE media_id = $1"
_PAUSED = """
SELECT id, user_id, message_count, last_seq,
 EXTRACT(epoch FROM last_message_at - created_at)::float8 AS seconds
FROM conversations
WHERE last_seq > completed_seq AND last_message_at < now() - make_interval(mins => $1)
ORDER BY last_message_at LIMIT $2 FOR UPDATE SKIP LOCKED"""
_COMPLETE = """
UPDATE conversations SET completed_seq = paused.seq
FROM unnest($1::uuid[], $2::bigint[]) AS paused(id, seq) WHERE conversations.id = paused.id"""


async def erase_user(connection: Connection, user_id: UUID) -> None:
    """Conversations with their messages, and reactions."""
    await connection.execute(_ERASE_CONVERSATIONS, user_id)
    await connection.execute(_ERASE_REACTIONS, user_id)


async def forget_media(connection: Connection, media_id: UUID) -> None:
    """Messages keep their text and lose the picture."""
    await connection.execute(_FORGET_MEDIA, media_id)


async def complete_paused(connection: Connection) -> int:
    """Publish conversation.completed for a batch of conversations that pause; how many."""
    rows = await connection.fetch(_PAUSED, PAUSE_MINUTES, BATCH_ROWS)
    if not rows:
        return 0
    await connection.execute(
        _COMPLETE, [row["id"] for row in rows], [row["last_seq"] for row in rows]
    )
    events: list[Event] = []
    for row in rows:
        data = {
            "conversation_id": row["id"],
            "message_count": row["message_count"],
            "duration_seconds": round(row["seconds"], 3),
        }
        events.append(
            new_event("conversation.completed", source="chat", subject=row["user_id"], data=data)
        )
    await add(connection, *events)
    return len(rows)
