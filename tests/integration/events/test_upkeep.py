"""What every worker does by the clock, whatever its service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from shared.events.metrics import EventMetrics
from shared.events.upkeep import upkeep
from shared.events.worker import WorkerContext, WorkerPlan, WorkerSettings, running_worker
from shared.idempotency.jobs import PURGE_ROWS, idempotency_jobs
from shared.manifest import load_manifest
from shared.placement import Database, FixedPlacement, open_pools
from tests.support.platform_database import one_for_all
from tests.support.sample_service import user_row

MANIFEST = load_manifest()


@pytest.fixture(scope="module")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url) as dsn:
        yield dsn


@pytest.fixture
async def sql(platform_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(platform_dsn)
    yield connection
    await connection.close()


@asynccontextmanager
async def _nothing(_context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    yield WorkerPlan()


async def test_every_worker_forgets_what_has_expired(
    platform_dsn: str, redis_url: str, rabbitmq_url: str
) -> None:
    settings = WorkerSettings(
        shared_database_url=SecretStr(platform_dsn),
        redis_url=SecretStr(redis_url),
        rabbitmq_url=SecretStr(rabbitmq_url),
        jwt_secrets=(SecretStr("x" * 32),),
    )
    async with running_worker("media", _nothing, settings, MANIFEST):
        running = {task.get_name() for task in asyncio.all_tasks()}
    assert {"outbox-measure", "inbox-forget", "idempotency-purge"} <= running


async def test_expired_keys_go_in_batches_and_from_two_workers_at_once(
    platform_dsn: str, sql: asyncpg.Connection
) -> None:
    user_id = uuid4()
    await sql.execute(
        "INSERT INTO users (id, email, referral_code) VALUES ($1, $2, $3)", *user_row(user_id)
    )
    expired = PURGE_ROWS * 2 + 7
    await sql.execute(
        "INSERT INTO idempotency_keys (user_id, route, key, request_hash, locked_until, expires_at)"
        " SELECT $1, 'chat.talk', n::text, repeat('0', 64), now(),"
        " now() + CASE WHEN n > $2 THEN interval '1 h' ELSE interval '-1 s' END"
        " FROM generate_series(1, $2 + 3) n",
        user_id,
        expired,
    )
    pools = await open_pools("test", shared_dsn=platform_dsn)
    (job,) = idempotency_jobs(pools.shared)
    purged = await asyncio.gather(job.run(), job.run())
    await pools.close()
    assert sum(int(str(count)) for count in purged) == expired
    assert await sql.fetchval("SELECT count(*) FROM idempotency_keys") == 3


async def test_old_inbox_rows_of_a_consumer_go_and_the_outbox_is_measured(
    platform_dsn: str, sql: asyncpg.Connection
) -> None:
    await sql.execute(
        "INSERT INTO inbox (consumer, event_id, type, handled_at) SELECT c, gen_random_uuid(), 't',"
        " now() - d * interval '1 day' FROM unnest(ARRAY['media', 'chat']) c,"
        " unnest(ARRAY[13, 15]) d"
    )
    await sql.execute(
        "INSERT INTO outbox (event_id, type, partition_key, body, created_at)"
        " VALUES (gen_random_uuid(), 't', 'k', '{}', now() - interval '1 h')"
    )
    pools = await open_pools("test", shared_dsn=platform_dsn)
    metrics = EventMetrics()
    for job in upkeep("media", Database("media", pools, FixedPlacement()), metrics):
        await job.run()
    await pools.close()
    left = await sql.fetch("SELECT consumer, count(*)::int AS n FROM inbox GROUP BY 1")
    assert {row["consumer"]: row["n"] for row in left} == {"media": 1, "chat": 2}
    assert metrics.outbox_unsent.labels("shared")._value.get() == 1
    assert metrics.outbox_oldest_seconds.labels("shared")._value.get() >= 3600
