"""Stories and their likes. Functions with a connection join its transaction."""

# ruff: noqa: S608 - statements are put together from constants; values are always arguments

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from services.community.models import Place, Row, stored_scenario
from shared.contract.community import (
    EXCERPT_LENGTH,
    DraftStory,
    StoryCharacters,
    UpdateStory,
)
from shared.placement import Database
from shared.placement.connection import Connection

StoryOrder = Literal["published_at", "like_count", "created_at"]

#: $1 is always the viewer or NULL.
_FACTS = """s.id, s.user_id, s.conversation_id, s.title, s.universe, s.characters, s.scenario, s.published,
 s.published_at, s.view_count, s.like_count, s.created_at, s.updated_at,
 EXISTS (SELECT 1 FROM story_likes l WHERE l.story_id = s.id AND l.user_id = $1::uuid) AS liked_by_me"""
_FIND = f"""SELECT {_FACTS}, s.content FROM stories s
WHERE s.id = $2 AND (s.published OR s.user_id = $1::uuid)"""
_ADD = """
INSERT INTO stories AS s (user_id, conversation_id, title, content, universe, characters, scenario)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING s.*, false AS liked_by_me
"""
# A field that is NULL was left out and stays as it is.
_UPDATE = """
UPDATE stories SET title = COALESCE($3, title), content = COALESCE($4, content),
  universe = COALESCE($5, universe), characters = COALESCE($6, characters),
  scenario = COALESCE($7, scenario)
WHERE id = $1 AND user_id = $2
"""
_PUBLISH = """
UPDATE stories SET published = true, published_at = now() WHERE id = $1 AND NOT published
RETURNING title
"""
_LOCK_PUBLISHED = """
SELECT user_id, title, like_count FROM stories WHERE id = $1 AND published FOR UPDATE
"""
_LIKE = """
INSERT INTO story_likes (story_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true
"""
_UNLIKE = "DELETE FROM story_likes WHERE story_id = $1 AND user_id = $2 RETURNING true"
_COUNT_LIKES = """
UPDATE stories SET like_count = greatest(like_count + $2, 0) WHERE id = $1 RETURNING like_count
"""
_REMOVE = "DELETE FROM stories WHERE id = $1 AND user_id = $2 RETURNING published"
_REMOVE_VOTES = "DELETE FROM community_votes WHERE target_type = 'story' AND target_id = $1"


class StoryRepository:
    """Stories in the database that owns them now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, viewer: UUID | None, story_id: UUID) -> Row | None:
        """A published story, or a draft of the viewer."""
        return await self._database.fetchrow(_FIND, viewer, story_id)

    async def page(
        self, viewer: UUID | None, *, mine: bool, order: StoryOrder, after: Place | None, rows: int
    ) -> list[Row]:
        """At most `rows` published stories, or all of the viewer's, in descending order."""
        arguments: list[object] = [viewer, rows]
        condition = "s.user_id = $1::uuid" if mine else "s.published"
        if after is not None:
            arguments += [after.sort, after.id]
            condition += f" AND (s.{order}, s.id) < ($3, $4::uuid)"
        return await self._database.fetch(
            f"SELECT {_FACTS}, left(s.content, {EXCERPT_LENGTH}) AS excerpt FROM stories s"
            f" WHERE {condition} ORDER BY s.{order} DESC, s.id DESC LIMIT $2",
            *arguments,
        )

    async def update(self, user_id: UUID, story_id: UUID, given: UpdateStory) -> None:
        """Change the fields that were sent of an own story."""
        sent = given.model_fields_set
        values = (
            given.title if "title" in sent else None,
            given.content if "content" in sent else None,
            given.universe if "universe" in sent else None,
            _names(given.characters) if "characters" in sent else None,
            stored_scenario(given.scenario) if "scenario" in sent else None,
        )
        await self._database.transaction(
            lambda connection: connection.execute(_UPDATE, story_id, user_id, *values)
        )


async def add(
    connection: Connection, user_id: UUID, draft: DraftStory, title: str, content: str
) -> Row:
    """Insert a draft; returns its row as its author sees it."""
    row = await connection.fetchrow(
        _ADD,
        user_id,
        draft.conversation_id,
        title,
        content,
        draft.universe,
        _names(draft.characters),
        stored_scenario(draft.scenario),
    )
    assert row is not None  # noqa: S101 - an INSERT … RETURNING of one row gives one
    return row


async def publish(connection: Connection, story_id: UUID) -> str | None:
    """Publish a draft; its title, or None if it was published before."""
    title: str | None = await connection.fetchval(_PUBLISH, story_id)
    return title


async def lock_published(connection: Connection, story_id: UUID) -> Row | None:
    """user_id, title and like_count of a published story, locked."""
    return await connection.fetchrow(_LOCK_PUBLISHED, story_id)


async def set_like(
    connection: Connection, story_id: UUID, user_id: UUID, *, liked: bool
) -> int | None:
    """Like, or take a like back; the new count, None if nothing changed. The story is locked."""
    if not await connection.fetchval(_LIKE if liked else _UNLIKE, story_id, user_id):
        return None
    count: int = await connection.fetchval(_COUNT_LIKES, story_id, 1 if liked else -1)
    return count


async def remove(connection: Connection, user_id: UUID, story_id: UUID) -> bool | None:
    """Delete an own story with likes and votes; whether it was published, None if there is none."""
    published: bool | None = await connection.fetchval(_REMOVE, story_id, user_id)
    if published is not None:
        await connection.execute(_REMOVE_VOTES, story_id)
    return published


def _names(characters: StoryCharacters | Sequence[str]) -> str:
    return json.dumps(list(characters), ensure_ascii=False)
