"""The counter of rate limits in Redis: one round trip per request."""

from __future__ import annotations

from redis.asyncio import Redis


class RedisCounter:
    """INCR and EXPIRE in one pipeline. Raises whatever Redis raises."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def increment(self, key: str, ttl_seconds: int) -> int:
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, ttl_seconds)
            count, _ = await pipeline.execute()
        return int(count)
