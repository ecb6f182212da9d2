"""What every app holds while it runs: pool of the platform tables, Redis, limits, keys, maintenance.

Built once at start and closed at stop. Knows no domain.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.auth.accounts import Accounts, Tiers
from shared.cache import Cache
from shared.idempotency.store import IdempotencyStore
from shared.placement.connection import Pool
from shared.placement.pools import Pools, PoolSettings, open_pool
from shared.ratelimit.limiter import RateLimiter
from shared.ratelimit.redis_counter import RedisCounter
from shared.redis_connection import open_redis
from shared.settings import AppSettings
from shared.web.maintenance import MaintenanceModes, follow_modes
from shared.web.maintenance_source import MaintenanceTable

#: Accounts, keys and modes are single-row statements; a few connections serve thousands a second,
#: and a pool of their own is never starved by a domain's long transactions.
PLATFORM_POOL = PoolSettings(max_size=5, connect_seconds=2.0, acquire_seconds=2.0)


@dataclass(frozen=True, slots=True)
class Platform:
    """Reach it as `request.app.state.platform`."""

    service: str
    settings: AppSettings
    pool: Pool
    redis: Redis
    limiter: RateLimiter
    idempotency: IdempotencyStore
    maintenance: MaintenanceModes
    cache: Cache
    accounts: Accounts
    tiers: Tiers


@asynccontextmanager
async def open_platform(
    service: str, settings: AppSettings, maintenance: MaintenanceModes
) -> AsyncIterator[Platform]:
    """Open everything; nothing connects yet, so an app starts while its servers are down."""
    pool = await open_pool(
        settings.shared_database_url.get_secret_value(), f"{service}-platform", PLATFORM_POOL
    )
    redis = open_redis(settings.redis_url.get_secret_value())
    following = asyncio.create_task(
        follow_modes(maintenance, MaintenanceTable(pool)), name="maintenance-modes"
    )
    cache = Cache(redis)
    try:
        yield Platform(
            service=service,
            settings=settings,
            pool=pool,
            redis=redis,
            limiter=RateLimiter(RedisCounter(redis), settings.rate_limits),
            idempotency=IdempotencyStore(pool),
            maintenance=maintenance,
            cache=cache,
            accounts=Accounts(pool),
            tiers=Tiers(pool, cache),
        )
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await redis.aclose()
        await Pools(pool).close()
