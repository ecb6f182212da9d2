"""Fixtures of the webhook tests: the shared inbox on a real database, and both sides of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from shared.placement import Database, FixedPlacement, PoolSettings, open_pools
from tests.support.platform_database import drop_templates, platform_database


@pytest.fixture(scope="module", autouse=True)
def _templates(postgres_url: str) -> Iterator[None]:
    yield
    asyncio.run(drop_templates(postgres_url))


@pytest.fixture
async def payments(postgres_url: str) -> AsyncIterator[Database]:
    async with platform_database(postgres_url) as dsn:
        pools = await open_pools(
            "test/payments", shared_dsn=dsn, settings=PoolSettings(max_size=12)
        )
        database = Database("payments", pools, FixedPlacement())
        yield database
        await database.close()
