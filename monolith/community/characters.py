"""Characters that users make; a published one appears in the catalogue under the same id."""

# ruff: noqa: S608 - statements are put together from constants; values are always arguments

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import Field

from monolith.calls import Call, CurrentCall, reply
from monolith.community.authors import COLUMNS, author_of, joins
from monolith.community.router import router
from monolith.community.story_models import Author, CharacterName, Universe
from monolith.database import Connection, Row, emit, one
from monolith.errors import invalid_field
from monolith.ownership import owns_image
from monolith.providers.desk import Providers
from monolith.values import Identifier, Timestamp, Trimmed, Wire

LongText = Annotated[Trimmed, Field(max_length=4000)]
CHARACTER = (
    "SELECT c.id, c.creator_id, c.name, c.universe, c.description, c.personality,"
    f" c.image_media_id, c.published, c.created_at, c.updated_at, {COLUMNS}"
    " FROM community_characters c" + joins("c.creator_id")
)


class CharacterCreateIn(Wire):
    name: CharacterName
    universe: Universe | None = None
    description: LongText | None = None
    personality: LongText | None = None
    image_media_id: Identifier | None = None
    publish: bool | None = None


class CommunityCharacter(Wire):
    id: UUID
    creator: Author
    name: str
    universe: str
    description: str
    personality: str
    image_url: str | None
    published: bool
    created_at: Timestamp
    updated_at: Timestamp


@router.route(
    "character_create",
    "POST",
    "/api/story/characters",
    auth="user",
    kind="write",
    bucket="default",
    answer=CommunityCharacter,
    success=201,
    keyed=True,
)
async def character_create(call: CurrentCall, body: CharacterCreateIn) -> Response:
    if body.image_media_id is not None and not await owns_image(call, body.image_media_id):
        raise invalid_field("body.image_media_id", "is not an image of yours")
    await call.context.part(Providers).moderate(
        body.name, body.universe, body.description, body.personality
    )
    async with call.context.database.transaction() as connection:
        made = await connection.fetchval(
            "INSERT INTO community_characters (creator_id, name, universe, description,"
            " personality, image_media_id, published) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " RETURNING id",
            call.user_id,
            body.name,
            body.universe or "",
            body.description or "",
            body.personality or "",
            body.image_media_id,
            bool(body.publish),
        )
        row = await one(connection, CHARACTER + " WHERE c.id = $1", made)
        if row["published"]:
            await _announce(connection, call, row)
    return reply(
        CommunityCharacter(
            id=row["id"],
            creator=author_of(call.context, row),
            name=row["name"],
            universe=row["universe"],
            description=row["description"],
            personality=row["personality"],
            image_url=call.context.image_url(row["image_media_id"]),
            published=row["published"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        ),
        201,
    )


async def _announce(connection: Connection, call: Call, row: Row) -> None:
    data = {
        "character_id": str(row["id"]),
        "name": row["name"],
        "universe": row["universe"],
        "description": row["description"],
        "image_url": call.context.image_url(row["image_media_id"]),
        "creator_id": str(row["creator_id"]),
    }
    await emit(connection, "character.published", call.user_id, data, "community", call.request_id)
