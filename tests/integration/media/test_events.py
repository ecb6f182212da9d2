"""The worker on RabbitMQ: events in, rows and files out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.media.settings import MediaWorkerSettings
from services.media.worker import build
from shared.cache import TIER, Cache
from shared.events.topology import Names
from shared.events.worker import running_worker
from shared.redis_connection import open_redis
from shared.storage.files import LocalFiles
from tests.integration.media.conftest import MANIFEST
from tests.support.people import PNG
from tests.support.platform_database import platform_database
from tests.support.queues import remove_queues

COUNT = "SELECT count(*) FROM media_metadata WHERE user_id = $1"


@dataclass
class World:
    sql: asyncpg.Connection
    folder: Path
    cache: Cache

    async def user(self, *, deleted: bool = False) -> UUID:
        user: UUID = await self.sql.fetchval(
            "INSERT INTO users (email, referral_code, deleted_at) VALUES ($1, $2,"
            " CASE WHEN $3 THEN now() END) RETURNING id",
            f"{uuid4()}@example.com",
            "".join("ABCDEFGH"[byte % 8] for byte in uuid4().bytes[:8]),
            deleted,
        )
        return user

    async def emit(self, type_: str, user: UUID, data: dict[str, Any], source: str) -> None:
        """Into the outbox, as its owner does; the worker's own relay publishes it."""
        await self.sql.execute(
            "SELECT emit_event($1, $2, $3::jsonb, $4)", type_, user, json.dumps(data), source
        )

    async def chat_image(self, user: UUID) -> UUID:
        """An image that chat has stored and told of."""
        media_id = uuid4()
        await LocalFiles(self.folder).put(f"media/{media_id}", PNG, "image/png")
        data = {
            "media_id": str(media_id),
            "storage_key": f"media/{media_id}",
            "content_type": "image/png",
            "bytes": len(PNG),
            "width": 1,
            "height": None,
            "sha256": "0" * 64,
        }
        await self.emit("chat.image_received", user, data, "chat")
        return media_id

    def has_file(self, media_id: UUID) -> bool:
        return (self.folder / "media" / str(media_id)).exists()

    async def handled(self, count: int) -> None:
        async with asyncio.timeout(20):
            while await self.sql.fetchval("SELECT count(*) FROM inbox") < count:
                await asyncio.sleep(0.05)


@pytest.fixture
async def world(
    postgres_url: str,
    redis_url: str,
    rabbitmq_url: str,
    worker_settings: Callable[..., MediaWorkerSettings],
) -> AsyncIterator[World]:
    async with platform_database(postgres_url) as dsn:
        settings = worker_settings(dsn)
        assert settings.media_dir is not None
        sql = await asyncpg.connect(dsn)
        redis = open_redis(redis_url)
        async with running_worker("media", build, settings, MANIFEST):
            yield World(sql, settings.media_dir, Cache(redis))
        await redis.aclose()
        await sql.close()
        names = Names(MANIFEST.project.name, settings.events_prefix)
        await remove_queues(rabbitmq_url, names, "media")


async def test_an_image_of_a_conversation_gets_its_row(world: World) -> None:
    user = await world.user()
    image = await world.chat_image(user)
    await world.handled(1)
    row = await world.sql.fetchrow("SELECT * FROM media_metadata WHERE id = $1", image)
    assert row is not None
    assert (row["user_id"], row["kind"], row["purpose"]) == (user, "chat", "chat")
    assert (row["storage_key"], row["width"], row["height"]) == (f"media/{image}", 1, None)


async def test_rows_and_bytes_of_a_deleted_user_go_and_late_images_too(world: World) -> None:
    user, other = await world.user(), await world.user()
    own = [await world.chat_image(user) for _ in range(3)]
    theirs = await world.chat_image(other)
    await world.handled(4)
    await world.sql.execute("UPDATE users SET deleted_at = now() WHERE id = $1", user)
    await world.emit("user.deleted", user, {}, "auth")
    late = await world.chat_image(user)
    await world.handled(6)
    assert await world.sql.fetchval(COUNT, user) == 0
    assert not any(world.has_file(image) for image in (*own, late))
    assert await world.sql.fetchval(COUNT, other) == 1
    assert world.has_file(theirs)


async def test_a_subscription_event_forgets_the_cached_tier(world: World) -> None:
    user = await world.user()
    await world.cache.put(TIER, str(user), value=0)
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
    await world.handled(1)
    assert await world.cache.get(TIER, str(user)) is None
