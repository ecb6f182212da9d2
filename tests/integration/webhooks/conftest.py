"""Fixtures of the webhook tests: the shared inbox on a real database, and both sides of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from shared.placement import Database, FixedPlacement, PoolSettings, open_pools
from tests.support.platform_database import one_for_all

TABLES = "webhook_inbox, payment_transactions, outbox, strangler.webhook_owners"


@pytest.fixture(scope="module")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url) as dsn:
        yield dsn


@pytest.fixture
async def payments(platform_dsn: str) -> AsyncIterator[Database]:
    """On empty tables of deliveries, owners and payments."""
    settings = PoolSettings(max_size=12)
    pools = await open_pools("test/payments", shared_dsn=platform_dsn, settings=settings)
    await pools.shared.execute(f"TRUNCATE {TABLES}")
    database = Database("payments", pools, FixedPlacement())
    yield database
    await database.close()
