"""What one process holds open: database, Redis, tokens, limits, and the parts of the domains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import redis.asyncio

from monolith.database import Database
from monolith.maintenance import Maintenance
from monolith.ratelimit import TIMEOUT_SECONDS, RateLimiter
from monolith.settings import Settings
from monolith.tokens import Tokens


class Part(Protocol):
    """Something a domain keeps between requests (an index, open sockets, a client)."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


P = TypeVar("P", bound=Part)


@dataclass(slots=True)
class Context:
    """Built once per process; handlers get it through their call."""

    settings: Settings
    database: Database
    redis: redis.asyncio.Redis | None
    limiter: RateLimiter
    maintenance: Maintenance
    tokens: Tokens
    parts: list[Part] = field(default_factory=list)

    def part(self, kind: type[P]) -> P:
        """The part of this class; each class is there once."""
        for part in self.parts:
            if isinstance(part, kind):
                return part
        raise LookupError(f"no part {kind.__name__}: its domain is not in monolith/domains.py")

    async def open(self) -> None:
        await self.database.open()
        for part in self.parts:
            await part.open()

    async def close(self) -> None:
        for part in reversed(self.parts):
            await part.close()
        await self.database.close()
        if self.redis is not None:
            await self.redis.aclose()

    def public_url(self, path: str) -> str:
        """An absolute address on the public host, never from the Host header."""
        return self.settings.public_base_url + path

    def image_url(self, media_id: object) -> str | None:
        """Where the bytes of an image are; None without an image."""
        return None if media_id is None else self.public_url(f"/api/images/{media_id}/content")


def build_context(settings: Settings, process: str, parts: Sequence[Part] = ()) -> Context:
    """Wire one process; process = `web` or `worker`. Nothing connects before open()."""
    database = Database(settings.database_url, f"monolith/{process}", settings.database_pool_size)
    client = None
    if settings.redis_url:
        client = redis.asyncio.Redis.from_url(
            settings.redis_url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
    return Context(
        settings=settings,
        database=database,
        redis=client,
        limiter=RateLimiter(client, settings.rate_limits),
        maintenance=Maintenance(database),
        tokens=Tokens(settings.jwt_secrets, settings.jwt_issuer),
        parts=list(parts),
    )
