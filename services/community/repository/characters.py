"""Characters that users make. Functions join the transaction of their connection."""

from __future__ import annotations

from uuid import UUID

from services.community.models import Row
from shared.contract.community import CreateCharacter
from shared.placement.connection import Connection

_ADD = """
INSERT INTO community_characters (creator_id, name, universe, description, personality,
  image_media_id, published)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, creator_id, name, universe, description, personality, image_media_id, published,
  created_at, updated_at
"""


async def add(connection: Connection, user_id: UUID, new: CreateCharacter) -> Row:
    row = await connection.fetchrow(
        _ADD,
        user_id,
        new.name,
        new.universe,
        new.description,
        new.personality,
        new.image_media_id,
        new.publish,
    )
    assert row is not None  # noqa: S101 - an INSERT … RETURNING of one row gives one
    return row
