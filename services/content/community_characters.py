"""Characters that people have made: the copies of them in the catalogue. SQL only."""

from __future__ import annotations

from uuid import UUID

from services.content.models import PublishedCharacter
from shared.contract.norm import norm
from shared.placement.connection import Connection, Pool

_IS_LIVE = "SELECT deleted_at IS NULL FROM users WHERE id = $1"
_UPSERT = """
INSERT INTO characters (id, name, name_norm, series, description, image_url, source, creator_id)
VALUES ($1, $2, $3, $4, $5, $6, 'community', $7)
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, name_norm = EXCLUDED.name_norm,
 series = EXCLUDED.series, description = EXCLUDED.description, image_url = EXCLUDED.image_url,
 creator_id = EXCLUDED.creator_id
WHERE characters.source = 'community'
"""
_ERASE = "DELETE FROM characters WHERE source = 'community' AND creator_id = $1"


async def is_live(accounts: Pool, user_id: UUID) -> bool:
    """Whether the account exists and is not deleted; `accounts` is the shared database."""
    return bool(await accounts.fetchval(_IS_LIVE, user_id))


async def put(connection: Connection, character: PublishedCharacter) -> None:
    """Insert or update one character; a catalogue row with that id stays as it is."""
    await connection.execute(
        _UPSERT,
        character.id,
        character.name,
        norm(character.name),
        character.universe,
        character.description,
        character.image_url,
        character.creator_id,
    )


async def erase_of(connection: Connection, user_id: UUID) -> None:
    """Remove everything that a user has published."""
    await connection.execute(_ERASE, user_id)
