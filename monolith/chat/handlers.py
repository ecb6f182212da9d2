"""What chat does when others tell that something happened (contract, 4), and its own schedule."""

from __future__ import annotations

from monolith.context import Context
from monolith.database import Connection, emit
from monolith.domain import Event

PAUSE_MINUTES = 30  # a conversation counts as completed after this long without a message
BATCH_ROWS = 200


async def erase_user(_context: Context, connection: Connection, event: Event) -> None:
    """user.deleted: conversations with their messages, and reactions."""
    await connection.execute("DELETE FROM conversations WHERE user_id = $1", event.user_id)
    await connection.execute("DELETE FROM message_reactions WHERE user_id = $1", event.user_id)


async def forget_media(_context: Context, connection: Connection, event: Event) -> None:
    """media.deleted: messages keep their text and lose the picture."""
    await connection.execute(
        "UPDATE messages SET media_id = NULL WHERE media_id = $1::uuid", event.data["media_id"]
    )


HANDLERS = {"user.deleted": erase_user, "media.deleted": forget_media}

PAUSED = """
SELECT id, user_id, message_count, last_seq,
  EXTRACT(epoch FROM last_message_at - created_at)::float8 AS seconds
FROM conversations
WHERE last_seq > completed_seq AND last_message_at < now() - make_interval(mins => $1)
ORDER BY last_message_at LIMIT $2 FOR UPDATE SKIP LOCKED"""


async def complete_paused(context: Context) -> None:
    """Publish conversation.completed once per pause of 30 minutes."""
    async with context.database.transaction() as connection:
        for row in await connection.fetch(PAUSED, PAUSE_MINUTES, BATCH_ROWS):
            await connection.execute(
                "UPDATE conversations SET completed_seq = $2 WHERE id = $1",
                row["id"],
                row["last_seq"],
            )
            data = {
                "conversation_id": str(row["id"]),
                "message_count": row["message_count"],
                "duration_seconds": round(row["seconds"], 3),
            }
            await emit(connection, "conversation.completed", row["user_id"], data, "chat")
