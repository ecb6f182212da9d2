"""Fixtures of the quota tests: the real functions of the shared database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from shared.placement import PoolSettings, open_pool
from shared.placement.connection import Pool
from shared.quota import Quotas
from tests.support.platform_database import one_for_all


@pytest.fixture(scope="module")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url) as dsn:
        yield dsn


@pytest.fixture
async def pool(platform_dsn: str) -> AsyncIterator[Pool]:
    """On empty tables of users and quotas."""
    pool = await open_pool(platform_dsn, "test/quota", PoolSettings(max_size=20))
    await pool.execute("TRUNCATE users, quota_grants, outbox CASCADE")
    yield pool
    await pool.close()


@pytest.fixture
def quotas(pool: Pool) -> Quotas:
    return Quotas(pool)
