"""Opens the one Redis client of a process, and says when to leave Redis alone; knows no key."""

from __future__ import annotations

import time
from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

#: Seconds. Redis is a cache: an answer that takes longer than this is worth nothing to a request.
TIMEOUT_SECONDS = 0.25


def open_redis(url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Redis:
    """A client with a pool; connects when first used. Close it with `aclose()`.

    A call is tried once more at once, for a connection that the server closed while it was idle.
    """
    client: Redis = Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=30,
        decode_responses=False,
    )
    return client


class OutagePause:
    """Leaves Redis alone for a moment after it failed.

    An outage then costs one wait a second and not one per request.
    """

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until = float("-inf")

    def begin(self) -> None:
        """A call failed just now."""
        self._until = self._clock() + self._seconds

    @property
    def is_on(self) -> bool:
        return self._clock() < self._until
