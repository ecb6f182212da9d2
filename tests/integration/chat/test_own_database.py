"""The service when its tables have moved: rows and events go to the own database, charges stay shared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from migrate.commands.db_migrate import prepare_store
from services.chat.app import build
from shared.control.model import FlagChange
from shared.control.store import ControlStore
from shared.placement.migrations import migrate
from shared.states import DataState
from tests.integration.chat.conftest import MANIFEST, MakeSettings, events_of, served
from tests.support.people import People
from tests.support.platform_database import platform_database

STREAM = "/api/chat/talk_with/stream"
RESERVATIONS = "SELECT state FROM quota_reservations ORDER BY created_at"


@dataclass
class World:
    people: People
    shared: asyncpg.Connection
    own: asyncpg.Connection
    shared_dsn: str

    async def move(self) -> None:
        """All traffic on the service, then its tables in its own database."""
        store = await ControlStore.connect(self.shared_dsn)
        try:
            routes = [row.name for row in MANIFEST.routes if row.service == "chat"]
            everything = dict.fromkeys(routes, FlagChange(percent=100.0))
            await store.set_flags(everything, actor="tests", reason="test")
            for state in ("copying", "following", "own"):
                await store.set_placement("chat", DataState(state), actor="tests", reason="test")
        finally:
            await store.close()


@pytest.fixture
async def world(
    postgres_url: str, database: str, make_settings: MakeSettings
) -> AsyncIterator[World]:
    async with platform_database(postgres_url) as shared_dsn:
        await prepare_store(shared_dsn, MANIFEST, actor="tests")
        await migrate("services.chat", database)
        shared, own = await asyncpg.connect(shared_dsn), await asyncpg.connect(database)
        app = build(make_settings(shared_dsn, database_url=SecretStr(database)), MANIFEST)
        try:
            async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
                yield World(People(client, shared), shared, own, shared_dsn)
        finally:
            await shared.close()
            await own.close()


async def test_a_stream_that_began_before_the_move_is_stored_on_the_new_side(world: World) -> None:
    ana = await world.people.new()
    body = {"message": "[[slow]] hello", "character": "Neo"}
    talking = asyncio.create_task(ana.post(STREAM, json=body))
    async with asyncio.timeout(10):
        while not await world.shared.fetchval("SELECT count(*) FROM quota_reservations"):
            await asyncio.sleep(0.02)
    await world.move()
    done = events_of((await talking).text)[-1]
    assert (done[0], done[1]["response"]) == ("done", "Neo heard: [[slow]] hello")
    assert await world.shared.fetchval("SELECT count(*) FROM messages") == 0
    assert await world.own.fetchval("SELECT count(*) FROM messages") == 2
    types = await world.own.fetch("SELECT type FROM outbox ORDER BY id")
    assert [row["type"] for row in types] == ["conversation.created", "message.sent"]
    states = await world.shared.fetch(RESERVATIONS)
    assert [row["state"] for row in states] == ["settled"]

    again = await ana.talk("more", conversation_id=done[1]["conversation_id"])
    assert (again["response"], again["remaining_quota"]) == ("Neo heard: more", 4)
    page = (await ana.get("/api/chat/conversations")).json()
    assert page["items"][0]["message_count"] == 4
    failed = await ana.post(
        STREAM, json={"message": "a b c [[fail-mid]]", "conversation_id": again["conversation_id"]}
    )
    assert events_of(failed.text)[-1][0] == "error"
    rows = await world.own.fetch("SELECT content, truncated FROM messages ORDER BY seq")
    assert tuple(rows[-1]) == ("Neo heard:", True)
    assert [row["state"] for row in await world.shared.fetch(RESERVATIONS)] == ["settled"] * 3
    assert await world.shared.fetchval("SELECT used FROM user_quotas") == 1


async def test_nothing_is_stored_for_somebody_who_is_gone_meanwhile(world: World) -> None:
    await world.move()
    ana = await world.people.new()
    body = {"message": "[[slow]] hello", "character": "Neo"}
    talking = asyncio.create_task(ana.post(STREAM, json=body))
    async with asyncio.timeout(10):
        while not await world.shared.fetchval("SELECT count(*) FROM quota_reservations"):
            await asyncio.sleep(0.02)
    await world.shared.execute("UPDATE users SET deleted_at = now()")
    events = events_of((await talking).text)
    assert (events[-1][0], events[-1][1]["code"]) == ("error", "ACCOUNT_DELETED")
    assert await world.own.fetchval("SELECT count(*) FROM conversations") == 0
    assert await world.own.fetchval("SELECT count(*) FROM outbox") == 0
    assert [row["state"] for row in await world.shared.fetch(RESERVATIONS)] == ["refunded"]
