"""What the catalogue does when others tell that something happened (contract, 4)."""

from __future__ import annotations

from monolith.content.matching import norm
from monolith.context import Context
from monolith.database import Connection
from monolith.domain import Event


async def adopt_character(_context: Context, connection: Connection, event: Event) -> None:
    """character.published: a user's character appears in the catalogue under the same id."""
    data = event.data
    await connection.execute(
        "INSERT INTO characters (id, name, name_norm, series, description, image_url, source,"
        " creator_id) SELECT $1::uuid, $2, $3, $4, $5, $6, 'community', u.id FROM users u"
        " WHERE u.id = $7::uuid AND u.deleted_at IS NULL"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, name_norm = excluded.name_norm,"
        " series = excluded.series, description = excluded.description,"
        " image_url = excluded.image_url",
        data["character_id"],
        data["name"],
        norm(data["name"]),
        data["universe"],
        data["description"],
        data["image_url"],
        data["creator_id"],
    )


async def erase_user(_context: Context, connection: Connection, event: Event) -> None:
    """user.deleted: characters that this user had published."""
    await connection.execute(
        "DELETE FROM characters WHERE source = 'community' AND creator_id = $1", event.user_id
    )


HANDLERS = {"character.published": adopt_character, "user.deleted": erase_user}
