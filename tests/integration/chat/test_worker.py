"""The worker on RabbitMQ: events of others in, rows and caches changed, pauses published."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from services.chat.worker import build, publish_pauses
from shared.cache import TIER, Cache
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.link import call, open_channel
from shared.events.topology import LADDER_SECONDS, Names
from shared.events.worker import WorkerContext, WorkerSettings, running_worker
from shared.redis_connection import open_redis
from tests.integration.chat.conftest import MANIFEST
from tests.support.platform_database import platform_database


@dataclass
class World:
    sql: asyncpg.Connection
    context: WorkerContext

    async def user(self) -> UUID:
        made: UUID = await self.sql.fetchval(
            "INSERT INTO users (email, referral_code) VALUES ($1, $2) RETURNING id",
            f"{uuid4()}@example.com",
            "".join("ABCDEFGH"[byte % 8] for byte in uuid4().bytes[:8]),
        )
        return made

    async def conversation(
        self, user: UUID, *, minutes_ago: int = 0, media: UUID | None = None
    ) -> UUID:
        made: UUID = await self.sql.fetchval(
            "INSERT INTO conversations (user_id, title, character_name, last_seq, message_count,"
            " created_at, last_message_at) VALUES ($1, 'Neo', 'Neo', 1, 1,"
            " now() - make_interval(mins => $2 + 5), now() - make_interval(mins => $2)) RETURNING id",
            user,
            minutes_ago,
        )
        message = await self.sql.fetchval(
            "INSERT INTO messages (conversation_id, seq, role, sender, content, media_id)"
            " VALUES ($1, 1, 'user', 'user', 'hi', $2) RETURNING id",
            made,
            media,
        )
        await self.sql.execute(
            "INSERT INTO message_reactions (message_id, user_id, reaction_type)"
            " VALUES ($1, $2, 'like')",
            message,
            user,
        )
        return made

    async def emit(self, type_: str, user: UUID, data: dict[str, Any], source: str) -> None:
        """Into the outbox, as another domain does; the worker's own relay publishes it."""
        await self.sql.execute(
            "SELECT emit_event($1, $2, $3::jsonb, $4)", type_, user, json.dumps(data), source
        )

    async def count(self, table: str) -> int:
        found: int = await self.sql.fetchval(f"SELECT count(*) FROM {table}")
        return found


@pytest.fixture
async def world(postgres_url: str, redis_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    async with platform_database(postgres_url) as dsn:
        settings = WorkerSettings(
            shared_database_url=SecretStr(dsn),
            redis_url=SecretStr(redis_url),
            rabbitmq_url=SecretStr(rabbitmq_url),
            jwt_secrets=(SecretStr("x" * 32),),
            events_prefix=f"t{uuid.uuid4().hex[:10]}.",
        )
        sql = await asyncpg.connect(dsn)
        try:
            async with running_worker("chat", build, settings, MANIFEST) as context:
                yield World(sql, context)
        finally:
            await sql.close()
            await remove_queues(rabbitmq_url, Names(MANIFEST.project.name, settings.events_prefix))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.05)


async def remove_queues(url: str, names: Names) -> None:
    """Take away what the worker has declared on the shared broker."""
    waits = [names.wait("chat", seconds) for seconds in LADDER_SECONDS]
    queues = [names.queue("chat"), names.dead("chat"), names.unrouted, *waits]
    broker = RabbitBroker(BrokerSettings(url, name="cleanup"))
    async with broker.connection() as connection:
        channel = await open_channel(connection, 5)
        for queue in queues:
            await call(channel, "queue_delete", 5, queue)
        for exchange in (names.exchange, names.unrouted):
            await call(channel, "exchange_delete", 5, exchange)
    await broker.close()


async def test_what_a_deleted_user_has_said_is_erased_and_nothing_else(world: World) -> None:
    user, other = await world.user(), await world.user()
    await world.conversation(user)
    kept = await world.conversation(other)
    await world.emit("user.deleted", user, {}, "auth")

    async def is_erased() -> bool:
        return await world.count("conversations") == 1

    await until(is_erased)
    assert await world.sql.fetchval("SELECT id FROM conversations") == kept
    assert await world.count("messages") == await world.count("message_reactions") == 1


async def test_messages_lose_a_picture_that_is_gone(world: World) -> None:
    user, gone, kept = await world.user(), uuid4(), uuid4()
    await world.conversation(user, media=gone)
    await world.conversation(user, media=kept)
    await world.emit("media.deleted", user, {"media_id": str(gone)}, "media")

    async def is_cleared() -> bool:
        pictures = await world.sql.fetch("SELECT media_id FROM messages ORDER BY created_at")
        return [row["media_id"] for row in pictures] == [None, kept]

    await until(is_cleared)


async def test_a_new_plan_makes_the_cached_tier_forgotten(world: World, redis_url: str) -> None:
    user = await world.user()
    redis = open_redis(redis_url)
    cache = Cache(redis)
    await cache.put(TIER, str(user), value=0)
    data = {
        "subscription_id": str(uuid4()),
        "provider": "stripe",
        "old_tier": 0,
        "new_tier": 1,
        "status": "active",
        "current_period_end": None,
        "subscription_version": 1,
        "quotas": {},
    }
    await world.emit("subscription.created", user, data, "payments")

    async def is_forgotten() -> bool:
        return await cache.get(TIER, str(user)) is None

    await until(is_forgotten)
    await redis.aclose()


async def test_a_pause_is_published_once_until_somebody_speaks_again(world: World) -> None:
    user = await world.user()
    paused = await world.conversation(user, minutes_ago=31)
    await world.conversation(user, minutes_ago=29)
    database = world.context.database
    counts = await asyncio.gather(publish_pauses(database), publish_pauses(database))
    assert sorted(counts) == [0, 1]
    assert await publish_pauses(database) == 0
    bodies = await world.sql.fetch("SELECT body FROM outbox WHERE type = 'conversation.completed'")
    event = json.loads(bodies[0]["body"])
    assert (event["subject"], event["source"]) == (str(user), "/chat")
    assert event["data"] == {
        "conversation_id": str(paused),
        "message_count": 1,
        "duration_seconds": 300.0,
    }
    await world.sql.execute("UPDATE conversations SET last_seq = 3 WHERE id = $1", paused)
    assert await publish_pauses(database) == 1

    async def is_sent() -> bool:
        return not await world.sql.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")

    await until(is_sent)
