"""A deleted account is gone from every database within a minute, by events between real workers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.contracts.api.moved import moved_system, own_databases
from tests.contracts.api.sides import Side
from tests.support.people import People, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("services",)

ERASURE_SECONDS = 60  # the contract, 1.17
SETTLE_SECONDS = 30
#: Revoked tokens and the ended subscription stay, as does who made a room that others still use.
STAYS = {"refresh_tokens", "subscriptions", "fandom_rooms", "billing_customers"}
COLUMNS = """
SELECT c.table_name, c.column_name FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
  AND c.column_name IN ('user_id', 'creator_id')
"""
STORIES = "/api/story/stories"


async def tables_with(databases: Mapping[str, asyncpg.Connection], user_id: str) -> set[str]:
    """`<database>.<table>` of every row that names a user."""
    found = set()
    for name, connection in databases.items():
        for table, column in await connection.fetch(COLUMNS):
            sql = f'SELECT EXISTS (SELECT FROM "{table}" WHERE {column} = $1)'
            if await connection.fetchval(sql, uuid.UUID(user_id)):
                found.add(f"{name}.{table}")
    return found


def files_of(side: Side) -> set[Path]:
    return set(side.world.media_dir.rglob("*-*"))


async def live(ana: Person, ben: Person) -> dict[str, Any]:
    """Leave something of Ana's in every domain."""
    image = await ana.upload()
    reply = await ana.talk("hello")
    message = f"/api/chat/messages/{reply['message_id']}"
    await ana.put(f"{message}/reaction", json={"reaction_type": "like"})
    draft = {"characters": ["A"], "title": "T", "content": "x"}
    for person in (ana, ben):
        story = (await person.post("/api/story/drafts", json=draft)).json()["id"]
        assert (await person.post(f"{STORIES}/{story}/publish")).status_code == 200
        await ana.put(f"{STORIES}/{story}/like", json={})
    await ana.put("/api/story/votes", json={"target_type": "story", "target_id": story, "value": 1})
    room = (await ana.post("/api/story/rooms", json={"name": "R"})).json()
    await ben.post("/api/story/rooms/join", json={"code": room["join_code"]})
    await ana.post("/api/story/scenarios", json={"title": "S"})
    character = {"name": "C", "publish": True, "image_media_id": image["id"]}
    await ana.post("/api/story/characters", json=character)
    await ana.post("/api/analytics/users/me/streak/check-in")
    await ana.post("/api/analytics/events", json={"events": [{"name": "x"}]})
    return {"story": story, "room": room["id"]}


async def test_nothing_of_a_deleted_account_is_left_in_any_database(
    side: Side, postgres_url: str, database: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(own_databases(postgres_url, side.services))
        databases = {"shared": database}
        for name, url in urls.items():
            databases[name] = await asyncpg.connect(url)
            stack.push_async_callback(databases[name].close)
        apps = await stack.enter_async_context(moved_system(side, urls))
        before = files_of(side)
        people = People(apps.client, database)
        ana, ben = await people.new(tier=2), await people.new()
        made = await live(ana, ben)
        wanted = {
            "media.media_metadata", "chat.conversations", "chat.message_reactions",
            "community.stories", "community.story_likes", "community.room_members",
            "community.scenarios", "community.community_characters", "community.community_votes",
            "community.notifications", "content.characters", "analytics.user_analytics",
            "analytics.user_streaks", "analytics.user_achievements", "analytics.engagement_events",
            "analytics.conversation_stats", "analytics.user_daily_activity",
        }  # fmt: skip
        async with asyncio.timeout(SETTLE_SECONDS):
            while not wanted <= await tables_with(databases, ana.id):
                await asyncio.sleep(0.2)
        assert (await ana.delete("/api/auth/users/me")).status_code == 204
        async with asyncio.timeout(ERASURE_SECONDS):
            while left := await tables_with(databases, ana.id) - {
                f"{name}.{table}" for name in databases for table in STAYS
            }:
                await asyncio.sleep(0.2)
        assert left == set()
        assert files_of(side) == before
        shown = (await ben.get(f"/api/story/rooms/{made['room']}")).json()
        assert shown["creator"] == {"user_id": None, "name": "Deleted user", "avatar_url": None}
        assert (await ben.get(f"{STORIES}/{made['story']}")).json()["like_count"] == 0
        assert await database.fetchval("SELECT status FROM subscriptions") == "cancelled"
