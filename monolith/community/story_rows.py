"""Rows of stories as the objects of the contract."""

# ruff: noqa: S608 - statements are put together from constants; values are always arguments

from __future__ import annotations

from typing import Any
from uuid import UUID

from monolith.calls import Call
from monolith.community.authors import COLUMNS, author_of, joins
from monolith.community.story_models import Story, StoryItem, StoryScenario
from monolith.context import Context
from monolith.database import Connection, Database, Row
from monolith.errors import not_found

EXCERPT_CHARACTERS = 280
# $1 is always the viewer or NULL.
STORY = (
    "SELECT s.id, s.user_id, s.conversation_id, s.title, s.content, s.universe, s.characters,"
    " s.scenario, s.published, s.published_at, s.view_count, s.like_count, s.created_at,"
    f" s.updated_at, {COLUMNS}, EXISTS (SELECT 1 FROM story_likes l WHERE l.story_id = s.id"
    " AND l.user_id = $1::uuid) AS liked_by_me FROM stories s" + joins("s.user_id")
)
SHARED = (
    "id",
    "conversation_id",
    "title",
    "universe",
    "characters",
    "published",
    "published_at",
    "view_count",
    "like_count",
    "liked_by_me",
    "created_at",
    "updated_at",
)


def _shared(context: Context, row: Row) -> dict[str, Any]:
    return {name: row[name] for name in SHARED} | {"author": author_of(context, row)}


def story_of(context: Context, row: Row) -> Story:
    stored = row["scenario"]
    scenario = StoryScenario(
        setting=stored.get("setting") or "",
        tone=stored.get("tone") or "",
        themes=list(stored.get("themes") or ()),
    )
    return Story(**_shared(context, row), content=row["content"], scenario=scenario)


def item_of(context: Context, row: Row) -> StoryItem:
    return StoryItem(**_shared(context, row), excerpt=row["content"][:EXCERPT_CHARACTERS])


async def find_story(source: Database | Connection, viewer: UUID | None, story_id: UUID) -> Row:
    """A published story, or a draft of the viewer; else NOT_FOUND."""
    query = STORY + " WHERE s.id = $2 AND (s.published OR s.user_id = $1::uuid)"
    row = await (
        source.row(query, viewer, story_id)
        if isinstance(source, Database)
        else source.fetchrow(query, viewer, story_id)
    )
    if row is None:
        raise not_found("No such story")
    return row


async def find_own_story(call: Call, story_id: UUID) -> Row:
    row = await find_story(call.context.database, call.user_id, story_id)
    if row["user_id"] != call.user_id:
        raise not_found("No such story")
    return row
