"""Counts requests in the shared Redis; a Redis that is down or slow means no limiting, never an error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import structlog

from shared.ratelimit.buckets import (
    WINDOW_SECONDS,
    Decision,
    RateLimits,
    Window,
    counter_key,
)
from shared.redis_connection import OutagePause

log = structlog.get_logger(__name__)


class Counter(Protocol):
    """Adds one to a key that lives for some seconds and gives the new count."""

    async def increment(self, key: str, ttl_seconds: int) -> int: ...


class RateLimiter:
    """Fixed windows over a shared counter.

    >>> decision = await limiter.count("default", "user-id")
    >>> decision is None or decision.is_allowed
    """

    def __init__(
        self,
        counter: Counter,
        limits: RateLimits | None = None,
        *,
        clock: Callable[[], float] = time.time,
        pause: OutagePause | None = None,
    ) -> None:
        self._counter = counter
        self._limits = limits or RateLimits()
        self._clock = clock
        self._pause = pause or OutagePause()

    async def count(self, bucket: str, subject: str) -> Decision | None:
        """Count one request; None when the bucket is unlimited or Redis does not answer."""
        limit = self._limits.of(bucket)
        if limit is None or self._pause.is_on:
            return None
        now = self._clock()
        window = Window.at(now)
        try:
            count = await self._counter.increment(
                counter_key(bucket, subject, window), 2 * WINDOW_SECONDS
            )
        except Exception as error:  # any failure of Redis has the same meaning: no limiting
            self._pause.begin()
            log.warning("rate_limits_off", reason=type(error).__name__)
            return None
        return Decision(bucket=bucket, limit=limit, count=count, reset=window.end, now=now)
