"""What events of others change in rows: counters, references to what is gone, a whole user."""

from __future__ import annotations

from uuid import UUID

from services.community.repository import rooms
from shared.placement.connection import Connection

#: Name of a reported event -> the key in its properties, and the statement that counts it.
COUNTERS: dict[str, tuple[str, str]] = {
    "story_view": ("story_id", "UPDATE stories SET view_count = view_count + 1 WHERE id = $1"),
    "scenario_view": (
        "scenario_id",
        "UPDATE scenarios SET view_count = view_count + 1 WHERE id = $1",
    ),
    "scenario_use": (
        "scenario_id",
        "UPDATE scenarios SET use_count = use_count + 1 WHERE id = $1",
    ),
}
_FORGET_CONVERSATION = "UPDATE stories SET conversation_id = NULL WHERE conversation_id = $1"
_FORGET_MEDIA = "UPDATE community_characters SET image_media_id = NULL WHERE image_media_id = $1"
_REMOVE_LIKES = "DELETE FROM story_likes WHERE user_id = $1 RETURNING story_id"
_COUNT_LESS = """
UPDATE stories SET like_count = greatest(like_count - 1, 0) WHERE id = ANY ($1::uuid[])
"""
_LOCK_ROOMS = """
SELECT r.id FROM fandom_rooms r JOIN room_members m ON m.room_id = r.id
WHERE m.user_id = $1 ORDER BY r.id FOR UPDATE OF r
"""
_ERASE = (
    """DELETE FROM community_votes v USING stories s
 WHERE v.target_type = 'story' AND v.target_id = s.id AND s.user_id = $1""",
    "DELETE FROM stories WHERE user_id = $1",
    "DELETE FROM community_votes WHERE user_id = $1",
    "DELETE FROM community_characters WHERE creator_id = $1",
    "DELETE FROM notifications WHERE user_id = $1",
    "DELETE FROM scenarios WHERE creator_id = $1 AND NOT is_public",
    "UPDATE scenarios SET creator_id = NULL WHERE creator_id = $1",
    "UPDATE room_messages SET user_id = NULL WHERE user_id = $1",
)


async def raise_counter(connection: Connection, name: str, target: UUID) -> None:
    """Count a view or a use; `name` is one of COUNTERS."""
    await connection.execute(COUNTERS[name][1], target)


async def forget_conversation(connection: Connection, conversation_id: UUID) -> None:
    await connection.execute(_FORGET_CONVERSATION, conversation_id)


async def forget_media(connection: Connection, media_id: UUID) -> None:
    await connection.execute(_FORGET_MEDIA, media_id)


async def erase(connection: Connection, user_id: UUID) -> None:
    """Everything that is a user's; what they said in rooms stays, without their name."""
    liked = await connection.fetch(_REMOVE_LIKES, user_id)
    await connection.execute(_COUNT_LESS, [row["story_id"] for row in liked])
    for room in await connection.fetch(_LOCK_ROOMS, user_id):
        await rooms.leave(connection, room["id"], user_id)
    for statement in _ERASE:
        await connection.execute(statement, user_id)
