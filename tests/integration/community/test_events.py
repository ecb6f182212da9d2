"""The worker on RabbitMQ: events of others in, rows of the community changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.community.worker import build
from shared.events.topology import Names
from shared.events.worker import running_worker
from tests.integration.community.conftest import MANIFEST, MakeWorkerSettings
from tests.support.platform_database import platform_database
from tests.support.queues import remove_queues

STORY = "INSERT INTO stories (user_id, title, content) VALUES ($1, 'T', 'x') RETURNING id"
ROOM = """
INSERT INTO fandom_rooms (creator_id, name, member_count, join_code) VALUES ($1, 'R', 0, $2)
RETURNING id
"""


@dataclass
class World:
    sql: asyncpg.Connection

    async def user(self, *, deleted: bool = False) -> UUID:
        user: UUID = await self.sql.fetchval(
            "INSERT INTO users (email, referral_code, deleted_at) VALUES ($1, $2,"
            " CASE WHEN $3 THEN now() END) RETURNING id",
            f"{uuid4()}@example.com",
            letters(),
            deleted,
        )
        return user

    async def emit(
        self, type_: str, user: UUID, data: dict[str, Any], source: str = "auth"
    ) -> None:
        """Into the outbox, as its owner does; the worker's own relay publishes it."""
        await self.sql.execute(
            "SELECT emit_event($1, $2, $3::jsonb, $4)", type_, user, json.dumps(data), source
        )

    async def handled(self, count: int) -> None:
        async with asyncio.timeout(20):
            while await self.sql.fetchval("SELECT count(*) FROM inbox") < count:
                await asyncio.sleep(0.05)

    async def room(self, *members: UUID) -> UUID:
        """A room whose first member owns it; they came one after the other."""
        room: UUID = await self.sql.fetchval(ROOM, members[0], letters())
        for place, member in enumerate(members):
            await self.sql.execute(
                "INSERT INTO room_members (room_id, user_id, role, joined_at)"
                " VALUES ($1, $2, $3, now() + $4 * interval '1 second')",
                room,
                member,
                "member" if place else "owner",
                place,
            )
        await self.sql.execute(
            "UPDATE fandom_rooms SET member_count = $2 WHERE id = $1", room, len(members)
        )
        return room

    async def count(self, table: str, condition: str, *values: object) -> int:
        found: int = await self.sql.fetchval(
            f"SELECT count(*) FROM {table} WHERE {condition}", *values
        )
        return found


def letters() -> str:
    return "".join("ABCDEFGH"[byte % 8] for byte in uuid4().bytes[:8])


@pytest.fixture
async def world(
    postgres_url: str, rabbitmq_url: str, worker_settings: MakeWorkerSettings
) -> AsyncIterator[World]:
    async with platform_database(postgres_url) as dsn:
        settings = worker_settings(dsn)
        sql = await asyncpg.connect(dsn)
        async with running_worker("community", build, settings, MANIFEST):
            yield World(sql)
        await sql.close()
        names = Names(MANIFEST.project.name, settings.events_prefix)
        await remove_queues(rabbitmq_url, names, "community")


async def test_people_are_told_what_happened_unless_they_left(world: World) -> None:
    user, gone, referee = await world.user(), await world.user(deleted=True), await world.user()
    created = {
        "email": "a@example.com",
        "name": None,
        "provider": "local",
        "referral_code": "AAAAAAAA",
        "referred_by": None,
    }
    for person in (user, gone):
        await world.emit("user.created", person, created)
    await world.emit("achievement.unlocked", user, {"code": "first_story"}, "analytics")
    confirmed = {"referrer_id": str(user), "referee_id": str(referee), "code": "AAAAAAAA"}
    await world.emit("referral.confirmed", referee, confirmed)
    await world.handled(4)
    rows = await world.sql.fetch("SELECT * FROM notifications ORDER BY kind")
    assert {row["user_id"] for row in rows} == {user}
    assert [(row["kind"], json.loads(row["data"])) for row in rows] == [
        ("achievement", {"code": "first_story"}),
        ("referral", {"code": "AAAAAAAA"}),
        ("welcome", {}),
    ]
    events = {str(row["event_id"]) for row in await world.sql.fetch("SELECT event_id FROM inbox")}
    assert {row["dedupe_key"] for row in rows} < events


async def test_reported_views_count_and_nonsense_does_not(world: World) -> None:
    user = await world.user()
    story = await world.sql.fetchval(STORY, user)
    scenario = await world.sql.fetchval(
        "INSERT INTO scenarios (creator_id, title) VALUES ($1, 'S') RETURNING id", user
    )
    reports: list[tuple[str, dict[str, Any]]] = [
        ("story_view", {"story_id": str(story)}),
        ("story_view", {"story_id": str(story)}),
        ("scenario_use", {"scenario_id": str(scenario)}),
        ("story_view", {"story_id": 7}),
        ("story_view", {}),
        ("app_open", {}),
    ]
    for name, properties in reports:
        data = {"name": name, "properties": properties, "occurred_at": "2025-01-31T12:00:00.000Z"}
        await world.emit("user.engagement", user, data, "analytics")
    await world.handled(len(reports))
    assert await world.sql.fetchval("SELECT view_count FROM stories") == 2
    counts = await world.sql.fetchrow("SELECT view_count, use_count FROM scenarios")
    assert counts is not None
    assert tuple(counts) == (0, 1)


async def test_references_to_what_is_gone_are_cleared(world: World) -> None:
    user, conversation, image = await world.user(), uuid4(), uuid4()
    await world.sql.execute("ALTER TABLE stories DROP CONSTRAINT x_stories_conversation_id")
    await world.sql.execute(
        "ALTER TABLE community_characters DROP CONSTRAINT x_community_characters_image_media_id"
    )
    story = await world.sql.fetchval(STORY, user)
    await world.sql.execute(
        "UPDATE stories SET conversation_id = $2 WHERE id = $1", story, conversation
    )
    await world.sql.execute(
        "INSERT INTO community_characters (creator_id, name, image_media_id) VALUES ($1, 'C', $2)",
        user,
        image,
    )
    await world.emit("conversation.deleted", user, {"conversation_id": str(conversation)}, "chat")
    await world.emit("media.deleted", user, {"media_id": str(image)}, "media")
    await world.handled(2)
    assert await world.count("stories", "conversation_id IS NOT NULL") == 0
    assert await world.count("community_characters", "image_media_id IS NOT NULL") == 0


async def test_everything_of_a_deleted_user_goes_and_what_is_of_others_stays(world: World) -> None:
    user, other = await world.user(), await world.user()
    own, theirs = await world.sql.fetchval(STORY, user), await world.sql.fetchval(STORY, other)
    await world.sql.execute("UPDATE stories SET like_count = 2 WHERE id = $1", theirs)
    for story, person in ((theirs, user), (theirs, other), (own, other)):
        await world.sql.execute("INSERT INTO story_likes VALUES ($1, $2)", story, person)
        await world.sql.execute(
            "INSERT INTO community_votes VALUES ('story', $1, $2, 1)", story, person
        )
    for public in (True, False):
        await world.sql.execute(
            "INSERT INTO scenarios (creator_id, title, is_public) VALUES ($1, 'S', $2)",
            user,
            public,
        )
    await world.sql.execute(
        "INSERT INTO community_characters (creator_id, name) VALUES ($1, 'C')", user
    )
    await world.sql.execute(
        "INSERT INTO notifications (user_id, kind, title, dedupe_key) VALUES ($1, 'k', 't', 'd')",
        user,
    )
    shared, alone = await world.room(user, other), await world.room(user)
    await world.sql.execute(
        "INSERT INTO room_messages (room_id, seq, user_id, content) VALUES ($1, 1, $2, 'hello')",
        shared,
        user,
    )
    await world.emit("user.deleted", user, {})
    await world.handled(1)
    for table, column in (
        ("stories", "user_id"),
        ("story_likes", "user_id"),
        ("community_votes", "user_id"),
        ("community_characters", "creator_id"),
        ("notifications", "user_id"),
        ("scenarios", "creator_id"),
        ("room_members", "user_id"),
        ("room_messages", "user_id"),
    ):
        assert await world.count(table, f"{column} = $1", user) == 0, table
    assert await world.sql.fetchval("SELECT like_count FROM stories WHERE id = $1", theirs) == 1
    assert await world.count("community_votes", "target_id = $1", own) == 0
    assert await world.count("scenarios", "is_public AND creator_id IS NULL") == 1
    assert await world.count("scenarios", "NOT is_public") == 0
    assert await world.count("room_messages", "content = 'hello'") == 1
    assert await world.count("fandom_rooms", "id = $1", alone) == 0
    role = await world.sql.fetchval("SELECT role FROM room_members WHERE user_id = $1", other)
    assert role == "owner"
