"""Coming and going: member counts, inherited rooms, rooms that end with their last member."""

from __future__ import annotations

from uuid import UUID

from monolith.database import Connection


async def leave(connection: Connection, room_id: UUID, user_id: UUID) -> int | None:
    """Take a member out of a locked room; returns who is left, None if they were no member."""
    role = await connection.fetchval(
        "DELETE FROM room_members WHERE room_id = $1 AND user_id = $2 RETURNING role",
        room_id,
        user_id,
    )
    if role is None:
        return None
    left: int = await connection.fetchval(
        "UPDATE fandom_rooms SET member_count = (SELECT count(*) FROM room_members"
        " WHERE room_id = $1) WHERE id = $1 RETURNING member_count",
        room_id,
    )
    if left == 0:
        await connection.execute(
            "DELETE FROM community_votes WHERE target_type = 'room' AND target_id = $1", room_id
        )
        await connection.execute("DELETE FROM fandom_rooms WHERE id = $1", room_id)
    elif role == "owner":
        await connection.execute(
            "UPDATE room_members SET role = 'owner' WHERE room_id = $1 AND user_id ="
            " (SELECT user_id FROM room_members WHERE room_id = $1"
            " ORDER BY joined_at, user_id LIMIT 1)",
            room_id,
        )
    return left
