"""Answers of catalogue providers, kept in provider_cache; SQL only."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from shared.placement import Database
from shared.placement.connection import Connection

_GET = "SELECT body FROM provider_cache WHERE cache_key = $1 AND expires_at > clock_timestamp()"
_PUT = """
INSERT INTO provider_cache (cache_key, body, expires_at)
VALUES ($1, $2::jsonb, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (cache_key) DO UPDATE SET body = EXCLUDED.body, expires_at = EXCLUDED.expires_at
"""
_FORGET = "DELETE FROM provider_cache WHERE expires_at <= clock_timestamp()"


class ProviderCache:
    """One answer per key until it expires."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: str, seconds: float, fetch: Callable[[], Awaitable[Any]]) -> Any:
        """The kept JSON value, else a fetched one, which is then kept for `seconds`."""
        kept = await self._database.fetchval(_GET, key)
        if kept is not None:
            return json.loads(kept)
        value = await fetch()

        async def put(connection: Connection) -> None:
            await connection.execute(_PUT, key, json.dumps(value), seconds)

        await self._database.transaction(put)
        return value

    async def forget_expired(self) -> None:
        """Remove what nobody may use any more."""

        async def forget(connection: Connection) -> None:
            await connection.execute(_FORGET)

        await self._database.transaction(forget)
