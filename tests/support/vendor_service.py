"""Fixtures of a service whose tables stay shared and whose vendors are stand-ins.

A conftest imports them and says in a fixture `service` which service it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from shared.manifest import load_manifest
from shared.ratelimit.buckets import parse_rate_limits
from tests.support.people import SECRET
from tests.support.platform_database import one_for_all
from tests.support.service_roles import service_role
from tests.support.stand_in_process import StandIns, stand_in_process

MANIFEST = load_manifest()
WAIT_SECONDS = 20.0


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    with stand_in_process(tmp_path_factory.mktemp("outbox")) as found:
        yield found


@pytest.fixture
def stand_ins(process: StandIns) -> StandIns:
    """The vendors, as clean as new."""
    process.reset()
    return process


@pytest.fixture(scope="module")
def dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url) as made:
        yield made


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, after what other tests left is gone."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "TRUNCATE users, webhook_inbox, outbox, inbox, promo_codes, idempotency_keys CASCADE"
    )
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def role_dsn(dsn: str, service: str) -> Iterator[str]:
    """The same database with the rights that the service has on a real host, and no others."""
    with asyncio.Runner() as runner:
        role = service_role(dsn, MANIFEST, service)
        yield runner.run(role.__aenter__())
        runner.run(role.__aexit__(None, None, None))


@pytest.fixture
def common_values(role_dsn: str, redis_url: str, rabbitmq_url: str) -> dict[str, Any]:
    """What every process of every service is told."""
    return {
        "shared_database_url": SecretStr(role_dsn),
        "redis_url": SecretStr(redis_url),
        "rabbitmq_url": SecretStr(rabbitmq_url),
        "jwt_secrets": (SecretStr(SECRET),),
        "rate_limits": parse_rate_limits("off"),
    }


async def until(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Wait for what comes through deliveries."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await look() != wanted:
            await asyncio.sleep(0.02)
