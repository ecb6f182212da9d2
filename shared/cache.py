"""The cache in Redis and the one owner of its key names; knows what is cached, not how it is made.

A value may be missing at any time, and is never the reason to refuse or to grant anything. With
Redis down every read is a miss and every write is dropped: slower, never wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import structlog
from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from shared.redis_connection import OutagePause

log = structlog.get_logger(__name__)

MAX_VALUE_BYTES = 1024 * 1024  # larger values cost more to move than to make again


@dataclass(frozen=True, slots=True)
class Namespace:
    """Keys of one kind: `cache:<name>:v<version>:<part>:<part>`.

    Raise `version` when the form of the values changes: old apps and new ones then never read each
    other's values, and the old ones run out by themselves.
    """

    name: str
    version: int
    ttl_seconds: int

    def key(self, *parts: str) -> str:
        """The key of some parts. Parts are quoted, so `a:b` + `c` is not `a` + `b:c`."""
        quoted = ":".join(quote(part, safe="-_.~") for part in parts)
        return f"cache:{self.name}:v{self.version}:{quoted}"


HOUR = 3600
DAY = 24 * HOUR

SESSION = Namespace("session", 1, HOUR)
QUOTA = Namespace("quota", 1, 5 * 60)  # for display only: what is left is decided by the row
TIER = Namespace("tier", 1, 60)  # 60 s at most (contract, 1.4); a refusal is never from here
POPULAR = Namespace("popular", 1, DAY)
CATALOGUE = Namespace("catalogue", 1, 7 * DAY)  # answers of the film database
DEDUPE = Namespace("dedupe", 1, DAY)  # saves work; what must not happen twice is the inbox's
PROFILE = Namespace("profile", 1, 5 * 60)  # names and pictures of authors

NAMESPACES = (SESSION, QUOTA, TIER, POPULAR, CATALOGUE, DEDUPE, PROFILE)


class Cache:
    """Reads and writes JSON values.

    >>> names = await cache.get(POPULAR, "movie")
    >>> await cache.put(POPULAR, "movie", value=[...])
    >>> names = await cache.remember(POPULAR, "movie", make=read_popular)
    >>> await cache.forget(POPULAR, "movie")
    """

    def __init__(self, redis: Redis, *, pause: OutagePause | None = None) -> None:
        self._redis = redis
        self._pause = pause or OutagePause()
        self._making: dict[str, asyncio.Task[Any]] = {}

    async def get(self, namespace: Namespace, *parts: str) -> Any | None:
        """The value, or None: never kept, run out, unreadable, or Redis is down."""
        raw = await self._try(self._redis.get, namespace.key(*parts))
        if raw is None:
            return None
        try:
            return from_json(raw)
        except ValueError:
            return None

    async def put(
        self, namespace: Namespace, *parts: str, value: Any, ttl_seconds: int | None = None
    ) -> None:
        """Keep a value that JSON can hold (pydantic models too). A shorter life may be given."""
        raw = to_json(value)
        if len(raw) <= MAX_VALUE_BYTES:
            ttl = min(ttl_seconds or namespace.ttl_seconds, namespace.ttl_seconds)
            await self._try(self._redis.set, namespace.key(*parts), raw, ex=ttl)

    async def forget(self, namespace: Namespace, *parts: str) -> None:
        """Drop one value. There are no patterns: a key is forgotten by its parts."""
        await self._try(self._redis.delete, namespace.key(*parts))

    async def remember(
        self, namespace: Namespace, *parts: str, make: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The value, made and kept if it is missing. In one process it is made once at a time.

        The first caller gets what `make` gave; it must be something JSON gives back unchanged.
        """
        found = await self.get(namespace, *parts)
        if found is not None:
            return found
        key = namespace.key(*parts)
        task = self._making.get(key)
        if task is None:
            task = asyncio.create_task(self._make(namespace, parts, make), name=f"cache {key}")
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        return await asyncio.shield(task)

    async def first_time(self, namespace: Namespace, *parts: str) -> bool:
        """True for the first caller within the namespace's life; True as well with Redis down."""
        kept = await self._try(
            self._redis.set,
            namespace.key(*parts),
            b"1",
            ex=namespace.ttl_seconds,
            nx=True,
            when_down=True,
        )
        return bool(kept)

    async def _make(
        self, namespace: Namespace, parts: tuple[str, ...], make: Callable[[], Awaitable[Any]]
    ) -> Any:
        value = await make()
        if value is not None:
            await self.put(namespace, *parts, value=value)
        return value

    async def _try(
        self, call: Callable[..., Any], *arguments: Any, when_down: Any = None, **options: Any
    ) -> Any:
        if self._pause.is_on:
            return when_down
        try:
            return await call(*arguments, **options)
        except Exception as error:  # whatever is wrong with Redis: it is only a cache
            self._pause.begin()
            log.warning("cache_down", reason=type(error).__name__)
            return when_down
