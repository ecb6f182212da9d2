"""Accounts and tiers as the shared database knows them; the only SQL of `shared.auth`."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog

from shared.auth.principal import Principal
from shared.cache import TIER, Cache
from shared.errors import PeerError
from shared.placement.connection import Pool
from shared.placement.pools import CONNECTION_ERRORS

log = structlog.get_logger(__name__)

STATEMENT_SECONDS = 2.0
#: How long a known account is believed while the database does not answer. The contract lets the
#: tier be 60 s old; nothing about an account may be older.
BELIEVED_SECONDS = 60.0
_MAX_REMEMBERED = 10_000

_BY_ID = "SELECT id, deleted_at IS NOT NULL AS is_deleted FROM users WHERE id = $1"
_BY_IDENTITY = """
SELECT u.id, u.deleted_at IS NOT NULL AS is_deleted
  FROM auth_identities i JOIN users u ON u.id = i.user_id
 WHERE i.provider = $1 AND i.external_id = $2
"""
_TIER = "SELECT tier FROM user_tiers WHERE user_id = $1"


@dataclass(frozen=True, slots=True)
class Account:
    """What admission needs to know of a user."""

    user_id: UUID
    is_deleted: bool


class Accounts:
    """Looks accounts up, always in the database: a deleted one is refused at once, everywhere.

    Only while the database is down an account seen in the last minute is believed to be unchanged.
    """

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str | None], tuple[float, Account]] = OrderedDict()

    async def find(self, principal: Principal) -> Account | None:
        """The account of a user token; None if there is none. Raises PeerError (503)."""
        key = (principal.issuer, principal.subject)
        try:
            account = await self._read(principal)
        except (*CONNECTION_ERRORS, asyncpg.PostgresError) as error:
            return self._believed(key, error)
        if account is not None:
            self._seen[key] = (self._clock(), account)
            self._seen.move_to_end(key)
            if len(self._seen) > _MAX_REMEMBERED:
                self._seen.popitem(last=False)
        else:
            self._seen.pop(key, None)
        return account

    async def _read(self, principal: Principal) -> Account | None:
        async with asyncio.timeout(STATEMENT_SECONDS):  # the wait for a connection included
            if principal.user_id is not None:
                row = await self._pool.fetchrow(_BY_ID, principal.user_id)
            else:
                row = await self._pool.fetchrow(_BY_IDENTITY, principal.issuer, principal.subject)
        return Account(row["id"], row["is_deleted"]) if row else None

    def _believed(self, key: tuple[str, str | None], error: BaseException) -> Account:
        seen_at, account = self._seen.get(key, (float("-inf"), None))
        if account is None or self._clock() - seen_at > BELIEVED_SECONDS:
            raise PeerError(
                f"the shared database did not answer for an account ({type(error).__name__});"
                " check SHARED_DATABASE_URL (`migrate status`)"
            ) from error
        return account


class Tiers:
    """The effective tier: the view `user_tiers`, never the token."""

    def __init__(self, pool: Pool, cache: Cache) -> None:
        self._pool = pool
        self._cache = cache

    async def tier(self, user_id: UUID, *, fresh: bool = False) -> int:
        """0 free, 1 pro, 2 max; up to 60 s old unless `fresh`. Raises PeerError (503).

        A refusal, and what a user is told about the own plan, needs `fresh=True`.
        """
        if not fresh:
            cached = await self._cache.get(TIER, str(user_id))
            if isinstance(cached, int):
                return cached
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                tier = await self._pool.fetchval(_TIER, user_id)
        except (*CONNECTION_ERRORS, asyncpg.PostgresError) as error:
            raise PeerError(
                f"the shared database did not answer for a tier ({type(error).__name__});"
                " check SHARED_DATABASE_URL (`migrate status`)"
            ) from error
        found = int(tier or 0)
        await self._cache.put(TIER, str(user_id), value=found)
        return found

    async def forget(self, user_id: UUID) -> None:
        """Drop the cached tier; workers call it on every `subscription.*` event."""
        await self._cache.forget(TIER, str(user_id))
