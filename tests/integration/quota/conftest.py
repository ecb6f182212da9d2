"""Fixtures of the quota tests: the real functions of the shared database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from shared.placement import PoolSettings, open_pool
from shared.placement.connection import Pool
from shared.quota import Quotas
from tests.support.platform_database import drop_templates, platform_database


@pytest.fixture(scope="module", autouse=True)
def _templates(postgres_url: str) -> Iterator[None]:
    yield
    asyncio.run(drop_templates(postgres_url))


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Pool]:
    async with platform_database(postgres_url) as dsn:
        pool = await open_pool(dsn, "test/quota", PoolSettings(max_size=20))
        yield pool
        await pool.close()


@pytest.fixture
def quotas(pool: Pool) -> Quotas:
    return Quotas(pool)
