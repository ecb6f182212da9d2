"""Asks the app's own dependencies whether they answer, one second each."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from monolith.context import Context

CHECK_SECONDS = 1.0


async def run_checks(context: Context) -> dict[str, bool]:
    """True per dependency that answered; one that is not configured counts as fine."""
    database, redis, broker = await asyncio.gather(
        _database(context), _redis(context), _broker(context.settings.rabbitmq_url)
    )
    return {"database": database, "redis": redis, "broker": broker}


async def _database(context: Context) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return bool(await context.database.value("SELECT 1") == 1)
    except Exception:
        return False


async def _redis(context: Context) -> bool:
    if context.redis is None:
        return True
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return bool(await context.redis.ping())
    except (RedisError, OSError, TimeoutError):
        return False


async def _broker(url: str | None) -> bool:
    """The web process never talks to the broker: an open port is all it can ask for."""
    if url is None:
        return True
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 5672)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
