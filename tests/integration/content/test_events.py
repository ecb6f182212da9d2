"""The worker on RabbitMQ: events in, rows of the catalogue out."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from services.content.worker import build
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.link import call, open_channel
from shared.events.topology import LADDER_SECONDS, Names
from shared.events.worker import WorkerSettings, running_worker
from shared.manifest import load_manifest
from tests.support.platform_database import platform_database

MANIFEST = load_manifest(Path("migration.toml"))


@dataclass
class World:
    sql: asyncpg.Connection

    async def user(self, *, deleted: bool = False) -> UUID:
        """An account."""
        row: UUID = await self.sql.fetchval(
            "INSERT INTO users (email, referral_code, deleted_at) VALUES ($1, $2,"
            " CASE WHEN $3 THEN now() END) RETURNING id",
            f"{uuid4()}@example.com",
            "".join("ABCDEFGH"[byte % 8] for byte in uuid4().bytes[:8]),
            deleted,
        )
        return row

    async def emit(self, type_: str, user: UUID, data: dict[str, Any]) -> None:
        """Into the outbox, as the community domain does; the worker's own relay publishes it."""
        await self.sql.execute(
            "SELECT emit_event($1, $2, $3::jsonb, 'community')", type_, user, json.dumps(data)
        )

    async def publish(self, user: UUID, name: str, character: UUID) -> None:
        await self.emit(
            "character.published",
            user,
            {
                "character_id": str(character),
                "name": name,
                "universe": "Tests",
                "description": "",
                "image_url": None,
                "creator_id": str(user),
            },
        )

    async def eventually(self, condition: Callable[[list[asyncpg.Record]], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition(await self.characters()):
                await asyncio.sleep(0.05)

    async def characters(self) -> list[asyncpg.Record]:
        return await self.sql.fetch("SELECT * FROM characters ORDER BY name")

    async def handled(self, count: int) -> None:
        async with asyncio.timeout(20):
            while await self.sql.fetchval("SELECT count(*) FROM inbox") < count:
                await asyncio.sleep(0.05)


@pytest.fixture
async def world(postgres_url: str, redis_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    async with platform_database(postgres_url) as dsn:
        settings = WorkerSettings(
            shared_database_url=SecretStr(dsn),
            redis_url=SecretStr(redis_url),
            rabbitmq_url=SecretStr(rabbitmq_url),
            jwt_secrets=(SecretStr("x" * 32),),
            events_prefix=f"c{uuid.uuid4().hex[:10]}.",
        )
        sql = await asyncpg.connect(dsn)
        async with running_worker("content", build, settings, MANIFEST):
            yield World(sql)
        await sql.close()
        await remove_queues(rabbitmq_url, Names(MANIFEST.project.name, settings.events_prefix))


async def remove_queues(url: str, names: Names) -> None:
    """Take away what the worker has declared on the shared broker."""
    waits = [names.wait("content", seconds) for seconds in LADDER_SECONDS]
    queues = [names.queue("content"), names.dead("content"), names.unrouted, *waits]
    broker = RabbitBroker(BrokerSettings(url, name="cleanup"))
    async with broker.connection() as connection:
        channel = await open_channel(connection, 5)
        for queue in queues:
            await call(channel, "queue_delete", 5, queue)
        for exchange in (names.exchange, names.unrouted):
            await call(channel, "exchange_delete", 5, exchange)
    await broker.close()


async def test_a_published_character_is_in_the_catalogue_under_the_same_id(world: World) -> None:
    user, character = await world.user(), uuid4()
    await world.publish(user, "Zoë the Brave", character)
    await world.eventually(lambda rows: len(rows) == 1)
    row = (await world.characters())[0]
    assert (row["id"], row["name_norm"], row["series"]) == (character, "zoe the brave", "Tests")
    assert (row["source"], row["creator_id"]) == ("community", user)
    await world.publish(user, "Zoë the Calm", character)
    await world.eventually(lambda rows: rows[0]["name_norm"] == "zoe the calm")


async def test_characters_of_a_deleted_user_go_and_do_not_come_back(world: World) -> None:
    user, other = await world.user(), await world.user()
    await world.publish(user, "Mine", uuid4())
    await world.publish(other, "Theirs", uuid4())
    await world.eventually(lambda rows: len(rows) == 2)
    await world.sql.execute("UPDATE users SET deleted_at = now() WHERE id = $1", user)
    await world.emit("user.deleted", user, {})
    await world.publish(user, "Late", uuid4())
    await world.handled(4)
    assert [row["name"] for row in await world.characters()] == ["Theirs"]


async def test_a_shipped_row_is_never_overwritten_by_an_event(world: World) -> None:
    character = await world.sql.fetchval(
        "INSERT INTO characters (name, name_norm) VALUES ('Neo', 'neo') RETURNING id"
    )
    await world.publish(await world.user(), "Not Neo", character)
    await world.handled(1)
    assert [row["name"] for row in await world.characters()] == ["Neo"]
