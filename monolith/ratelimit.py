"""Fixed windows of a minute, counted in the shared Redis; without Redis nothing is limited."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import redis.asyncio
from redis.exceptions import RedisError

from monolith.errors import ApiError

WINDOW_SECONDS = 60
PAUSE_SECONDS = 1.0  # after a failure Redis is left alone this long, so that requests stay quick
TIMEOUT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Count:
    """Where a subject stands in its window; resets_at = unix second."""

    bucket: str
    limit: int
    used: int
    resets_at: int

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.limit - self.used, 0)),
            "X-RateLimit-Reset": str(self.resets_at),
        }

    def refusal(self, now: float) -> ApiError | None:
        if self.used <= self.limit:
            return None
        wait = max(1, self.resets_at - int(now))
        return ApiError(
            "RATE_LIMITED",
            f"Too many requests; try again in {wait} seconds",
            {"bucket": self.bucket, "retry_after": wait},
            {"Retry-After": str(wait)},
        )


def window_start(now: float) -> int:
    return int(now) - int(now) % WINDOW_SECONDS


def window_key(bucket: str, subject: str, start: int) -> str:
    """The key that all apps share (contract, 1.10)."""
    return f"rl:{bucket}:{subject}:{start}"


class RateLimiter:
    """Counts requests per bucket and subject."""

    def __init__(self, client: redis.asyncio.Redis | None, limits: Mapping[str, int]) -> None:
        self._client = client
        self._limits = dict(limits)
        self._silent_until = 0.0

    async def count(self, bucket: str, subject: str, now: float) -> Count | None:
        """Count one request; None if the bucket is not limited or Redis is down."""
        limit = self._limits.get(bucket)
        if limit is None or self._client is None or time.monotonic() < self._silent_until:
            return None
        start = window_start(now)
        key = window_key(bucket, subject, start)
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.incr(key)
                pipeline.expire(key, 2 * WINDOW_SECONDS)
                used, _ = await pipeline.execute()
        except (RedisError, OSError, TimeoutError):
            self._silent_until = time.monotonic() + PAUSE_SECONDS
            return None
        return Count(bucket, limit, int(used), start + WINDOW_SECONDS)
