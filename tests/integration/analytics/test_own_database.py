"""The figures in a database of their own: its schema, counting by events, the end of an account."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.analytics.consumers import AnalyticsEvents
from shared.control.model import ControlState, Placement
from shared.events.broker import Delivery, Message
from shared.events.effects import Effects, Job
from shared.events.envelope import new_event
from shared.manifest import load_manifest
from shared.placement.database import Database
from shared.placement.migrations import migrate
from shared.placement.pools import open_pools
from shared.placement.service import service_grants
from shared.placement.source import FixedPlacement
from shared.states import DataState
from tests.support.platform_database import platform_database

ANALYTICS = "services.analytics"
MANIFEST = load_manifest(Path("migration.toml"))
TABLES = [*MANIFEST.services["analytics"].tables]
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ANY ($1) ORDER BY 1, 2
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY ($1) ORDER BY 1"
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid::regclass::text = ANY ($1) AND conname NOT LIKE 'x\\_%' ORDER BY 1, 2
"""
TRIGGERS = """
SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger
WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY ($1) ORDER BY 1, 2
"""


class Figures:
    """The worker's handlers on a database that has moved."""

    def __init__(self, database: Database, own: asyncpg.Connection, home: asyncpg.Connection):
        self.handlers = AnalyticsEvents(database).handlers()
        self._effects = Effects("analytics", self.handlers, database, 20.0)
        self.own = own
        self.home = home

    async def user(self) -> uuid.UUID:
        row: uuid.UUID = await self.home.fetchval(
            "INSERT INTO users (email, referral_code) VALUES ($1, $2) RETURNING id",
            f"{uuid.uuid4()}@example.com",
            "".join("ABCDEFGH"[byte % 8] for byte in uuid.uuid4().bytes[:8]),
        )
        return row

    async def tell(self, *events: tuple[str, uuid.UUID, dict[str, Any]]) -> None:
        """Handle events in one transaction, as a lane of the worker does."""
        jobs = []
        for type_, user, data in events:
            event = new_event(type_, source="chat", subject=user, data=data)
            message = Message(event.to_json(), str(event.id), type_)
            jobs.append(Job(Delivery(message, type_, False, 1, None), event))
        result = await self._effects.apply(jobs)
        assert (result.failed, result.postponed) == ([], [])

    async def rows_of(self, user: uuid.UUID) -> dict[str, int]:
        """Tables that have rows of a user."""
        named = [table for table in TABLES if table != "platform_metrics"]
        counts = {
            table: await self.own.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user)
            for table in named
        }
        return {table: count for table, count in counts.items() if count}


def message(conversation: uuid.UUID, tokens: int = 3) -> dict[str, Any]:
    return {
        "conversation_id": conversation,
        "character": "Ana",
        "message_ids": [uuid.uuid4()],
        "tokens": tokens,
    }


@pytest.fixture
async def figures(postgres_url: str, database: str) -> AsyncIterator[Figures]:
    await migrate(ANALYTICS, database)
    async with platform_database(postgres_url) as shared, AsyncExitStack() as stack:
        pools = await open_pools(
            "tests",
            shared_dsn=shared,
            own_dsn=database,
            grants=service_grants(MANIFEST, "analytics"),
        )
        stack.push_async_callback(pools.close)
        own, home = await asyncpg.connect(database), await asyncpg.connect(shared)
        stack.push_async_callback(own.close)
        stack.push_async_callback(home.close)
        moved = ControlState(version=1, placements={"analytics": _own_placement()})
        yield Figures(Database("analytics", pools, FixedPlacement(moved)), own, home)


def _own_placement() -> Placement:
    return Placement("analytics", DataState.OWN, 1)


async def _describe(dsn: str) -> list[list[tuple[object, ...]]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [
            [tuple(row) for row in await connection.fetch(sql, TABLES)]
            for sql in (COLUMNS, INDEXES, CONSTRAINTS, TRIGGERS)
        ]
    finally:
        await connection.close()


async def test_the_own_schema_is_the_monoliths_without_crossing_keys(
    database: str, postgres_url: str
) -> None:
    applied = await asyncio.gather(migrate(ANALYTICS, database), migrate(ANALYTICS, database))
    assert applied == [["platform", "analytics"]] * 2
    async with platform_database(postgres_url) as shared:
        assert await _describe(database) == await _describe(shared)


async def test_every_subscription_of_the_manifest_has_a_handler(figures: Figures) -> None:
    assert set(figures.handlers) == set(MANIFEST.services["analytics"].subscribes)


async def test_events_are_counted_where_the_figures_live(figures: Figures) -> None:
    ana, conversation = await figures.user(), uuid.uuid4()
    await figures.tell(
        ("message.sent", ana, message(conversation)),
        ("message.sent", ana, message(conversation, 4)),
    )
    row = await figures.own.fetchrow("SELECT * FROM user_analytics WHERE user_id = $1", ana)
    assert (row["message_count"], row["tokens_used"], row["xp"]) == (2, 7, 2)
    assert await figures.own.fetchval("SELECT count(*) FROM outbox") == 1  # the achievement
    assert await figures.own.fetchval("SELECT count(*) FROM inbox") == 2
    assert await figures.home.fetchval("SELECT count(*) FROM user_analytics") == 0


async def test_lanes_that_count_at_once_lose_nothing(figures: Figures) -> None:
    people = [await figures.user() for _ in range(6)]
    story = ("story.published", {"story_id": uuid.uuid4(), "title": "T"})

    async def lane(person: uuid.UUID, turn: int) -> None:
        told = [("message.sent", person, message(uuid.uuid4())), (story[0], person, story[1])]
        await figures.tell(*(told if turn % 2 else told[::-1]))

    await asyncio.gather(*(lane(person, turn) for person in people for turn in range(4)))
    rows = await figures.own.fetch(
        "SELECT metric, sum(value) AS value FROM platform_metrics GROUP BY 1"
    )
    assert {row["metric"]: row["value"] for row in rows} == {
        "messages": 24,
        "tokens": 72,
        "stories_published": 24,
    }
    counts = await figures.own.fetch("SELECT message_count, story_count, xp FROM user_analytics")
    assert [tuple(row) for row in counts] == [(4, 4, 84)] * 6


async def test_nothing_of_a_deleted_account_is_left_whatever_runs_beside(figures: Figures) -> None:
    for _ in range(5):
        ana = await figures.user()
        await figures.tell(("message.sent", ana, message(uuid.uuid4())))
        assert await figures.rows_of(ana)

        async def delete(user: uuid.UUID = ana) -> None:
            await figures.home.execute("UPDATE users SET deleted_at = now() WHERE id = $1", user)
            await figures.tell(("user.deleted", user, {}))

        late = [figures.tell(("message.sent", ana, message(uuid.uuid4()))) for _ in range(4)]
        await asyncio.gather(*late[:2], delete(), *late[2:])
        assert await figures.rows_of(ana) == {}
    await figures.tell(("message.sent", ana, message(uuid.uuid4())))
    assert await figures.rows_of(ana) == {}
