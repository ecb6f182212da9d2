"""Votes on anything of the community. Functions join the transaction of their connection."""

from __future__ import annotations

from uuid import UUID

from services.community.models import Row
from shared.contract.community import Vote, VoteTarget
from shared.placement.connection import Connection

#: Whether $1 is visible to the caller $2.
_VISIBLE: dict[VoteTarget, str] = {
    "story": "SELECT true FROM stories WHERE id = $1 AND (published OR user_id = $2)",
    "scenario": "SELECT true FROM scenarios WHERE id = $1 AND (is_public OR creator_id = $2)",
    "character": """SELECT true FROM community_characters
 WHERE id = $1 AND (published OR creator_id = $2)""",
    "room": """SELECT true FROM fandom_rooms r WHERE id = $1 AND (is_public OR EXISTS
 (SELECT 1 FROM room_members m WHERE m.room_id = r.id AND m.user_id = $2))""",
}
_TAKE_BACK = """
DELETE FROM community_votes WHERE target_type = $1 AND target_id = $2 AND user_id = $3
"""
_CAST = """
INSERT INTO community_votes (target_type, target_id, user_id, value) VALUES ($1, $2, $3, $4)
ON CONFLICT (target_type, target_id, user_id) DO UPDATE SET value = excluded.value
"""
_COUNT = """
SELECT count(*) FILTER (WHERE value = 1) AS up, count(*) FILTER (WHERE value = -1) AS down
FROM community_votes WHERE target_type = $1 AND target_id = $2
"""


async def is_visible(connection: Connection, user_id: UUID, vote: Vote) -> bool:
    """Whether the target exists and the user may see it."""
    return bool(await connection.fetchval(_VISIBLE[vote.target_type], vote.target_id, user_id))


async def cast(connection: Connection, user_id: UUID, vote: Vote) -> None:
    """Set the user's vote; 0 takes it back."""
    if vote.value == 0:
        await connection.execute(_TAKE_BACK, vote.target_type, vote.target_id, user_id)
    else:
        await connection.execute(_CAST, vote.target_type, vote.target_id, user_id, vote.value)


async def count(connection: Connection, vote: Vote) -> Row:
    """`up` and `down` of a target."""
    row = await connection.fetchrow(_COUNT, vote.target_type, vote.target_id)
    assert row is not None  # noqa: S101 - an aggregate gives one row
    return row
