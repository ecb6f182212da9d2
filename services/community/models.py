"""Rows of the community's tables as wire objects; no SQL, no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from shared.contract.auth import DELETED_AUTHOR, Author
from shared.contract.community import (
    CommunityCharacter,
    NewStoryScenario,
    Notification,
    Room,
    RoomMember,
    RoomMessage,
    RoomSettings,
    Scenario,
    Story,
    StoryItem,
    StoryScenario,
)

Row = asyncpg.Record
Authors = Mapping[UUID, Author]  # people who left are not in it

_STORY_FACTS = (
    "id",
    "conversation_id",
    "title",
    "universe",
    "published",
    "published_at",
    "view_count",
    "like_count",
    "liked_by_me",
    "created_at",
    "updated_at",
)
_SCENARIO_FACTS = (
    "id",
    "title",
    "description",
    "setting",
    "tone",
    "is_public",
    "view_count",
    "use_count",
    "created_at",
    "updated_at",
)
_CHARACTER_FACTS = (
    "id",
    "name",
    "universe",
    "description",
    "personality",
    "published",
    "created_at",
    "updated_at",
)


@dataclass(frozen=True, slots=True)
class Place:
    """The last row of a page: its sort value and id."""

    sort: datetime | int
    id: UUID


def author_of(authors: Authors, user_id: UUID | None) -> Author:
    """Whoever made something; a deleted user has no name."""
    return DELETED_AUTHOR if user_id is None else authors.get(user_id, DELETED_AUTHOR)


def image_url(base_url: str, media_id: UUID | None) -> str | None:
    """Where the bytes of an image are; None without an image."""
    return None if media_id is None else f"{base_url}/api/images/{media_id}/content"


def profile_of(row: Row, base_url: str) -> Author:
    return Author(
        user_id=row["id"],
        name=row["name"],
        avatar_url=image_url(base_url, row["avatar_media_id"]),
    )


def stored_scenario(scenario: NewStoryScenario) -> str:
    """The JSON that `stories.scenario` holds: every field, also empty ones."""
    return json.dumps(scenario.model_dump(mode="json"), ensure_ascii=False)


def story_of(row: Row, authors: Authors) -> Story:
    scenario = json.loads(row["scenario"])
    return Story.model_validate(
        {
            **_story_facts(row, authors),
            "content": row["content"],
            "scenario": StoryScenario(
                setting=scenario.get("setting") or "",
                tone=scenario.get("tone") or "",
                themes=tuple(scenario.get("themes") or ()),
            ),
        }
    )


def story_item_of(row: Row, authors: Authors) -> StoryItem:
    return StoryItem.model_validate({**_story_facts(row, authors), "excerpt": row["excerpt"]})


def _story_facts(row: Row, authors: Authors) -> dict[str, Any]:
    facts = {name: row[name] for name in _STORY_FACTS}
    characters = tuple(json.loads(row["characters"]))
    return facts | {"author": author_of(authors, row["user_id"]), "characters": characters}


def room_of(row: Row, authors: Authors) -> Room:
    code = row["join_code"] if row["is_member"] else None
    return Room(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        universe=row["universe"],
        creator=author_of(authors, row["creator_id"]),
        settings=RoomSettings(is_public=row["is_public"], max_members=row["max_members"]),
        member_count=row["member_count"],
        join_code=code,
        referral_code=code,
        is_member=row["is_member"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def member_of(row: Row, authors: Authors) -> RoomMember:
    return RoomMember(
        user=author_of(authors, row["user_id"]), role=row["role"], joined_at=row["joined_at"]
    )


def room_message_of(row: Row, authors: Authors) -> RoomMessage:
    return RoomMessage(
        id=row["id"],
        room_id=row["room_id"],
        seq=row["seq"],
        author=author_of(authors, row["user_id"]),
        content=row["content"],
        created_at=row["created_at"],
    )


def rating_of(up: int, votes: int) -> float | None:
    """0 to 5 by the share of good votes; None without votes."""
    return round(5 * up / votes, 2) if votes else None


def scenario_of(row: Row, authors: Authors) -> Scenario:
    return Scenario.model_validate(
        {
            **{name: row[name] for name in _SCENARIO_FACTS},
            "creator": author_of(authors, row["creator_id"]),
            "characters": tuple(json.loads(row["characters"])),
            "rating": rating_of(row["up"], row["votes"]),
        }
    )


def character_of(row: Row, authors: Authors, base_url: str) -> CommunityCharacter:
    return CommunityCharacter.model_validate(
        {
            **{name: row[name] for name in _CHARACTER_FACTS},
            "creator": author_of(authors, row["creator_id"]),
            "image_url": image_url(base_url, row["image_media_id"]),
        }
    )


def notification_of(row: Row) -> Notification:
    return Notification.model_validate({**dict(row), "data": json.loads(row["data"])})
