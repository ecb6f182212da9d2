"""What media does when others tell that something happened (contract, 4)."""

from __future__ import annotations

from monolith.context import Context
from monolith.database import Connection
from monolith.domain import Event
from monolith.storage import Storage


async def adopt_chat_image(context: Context, connection: Connection, event: Event) -> None:
    """chat.image_received: the row of bytes that chat has put into storage."""
    data = event.data
    alive = await connection.fetchval(
        "SELECT deleted_at IS NULL FROM users WHERE id = $1", event.user_id
    )
    if not alive:
        await context.part(Storage).delete(data["storage_key"])
        return
    await connection.execute(
        "INSERT INTO media_metadata (id, user_id, kind, purpose, content_type, bytes, width,"
        " height, sha256, storage_key)"
        " VALUES ($1::uuid, $2, 'chat', 'chat', $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        data["media_id"],
        event.user_id,
        data["content_type"],
        data["bytes"],
        data["width"],
        data["height"],
        data["sha256"],
        data["storage_key"],
    )


async def erase_user(context: Context, connection: Connection, event: Event) -> None:
    """user.deleted: rows and bytes; deleting bytes twice is harmless, so they go first."""
    rows = await connection.fetch(
        "SELECT storage_key FROM media_metadata WHERE user_id = $1 FOR UPDATE", event.user_id
    )
    for row in rows:
        await context.part(Storage).delete(row["storage_key"])
    await connection.execute("DELETE FROM media_metadata WHERE user_id = $1", event.user_id)


HANDLERS = {"chat.image_received": adopt_chat_image, "user.deleted": erase_user}
