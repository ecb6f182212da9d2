"""The table `idempotency_keys`: the only SQL on it; knows no HTTP framework."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from shared.errors import CallerError, Code, PeerError
from shared.placement.connection import Connection, Pool
from shared.placement.pools import CONNECTION_ERRORS

LOCK_SECONDS = 180  # an in-progress key lapses after this (contract, 1.9)
STATEMENT_SECONDS = 5.0
_ATTEMPTS = 3  # a key can be freed between the insert and the look at it; more than twice is a bug

_CLAIM = """
INSERT INTO idempotency_keys AS k (user_id, route, key, request_hash, locked_until)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
ON CONFLICT (user_id, route, key) DO UPDATE
   SET request_hash = EXCLUDED.request_hash, state = 'in_progress', status = NULL,
       content_type = NULL, body = NULL, locked_until = EXCLUDED.locked_until,
       created_at = now(), expires_at = now() + interval '24 hours'
 WHERE k.expires_at <= now()
    OR (k.state = 'in_progress' AND k.locked_until <= now()
        AND k.request_hash = EXCLUDED.request_hash)
RETURNING locked_until
"""
_LOOK = """
SELECT request_hash, state, status, content_type, body
  FROM idempotency_keys WHERE user_id = $1 AND route = $2 AND key = $3
"""
# `locked_until` is the token of the claim: a claim that lapsed and was taken over changes nothing.
_COMPLETE = """
UPDATE idempotency_keys SET state = 'completed', status = $5, content_type = $6, body = $7
 WHERE user_id = $1 AND route = $2 AND key = $3 AND locked_until = $4 AND state = 'in_progress'
"""
_RELEASE = """
DELETE FROM idempotency_keys
 WHERE user_id = $1 AND route = $2 AND key = $3 AND locked_until = $4 AND state = 'in_progress'
"""
_PURGE = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_keys WHERE expires_at < now() LIMIT $1 FOR UPDATE SKIP LOCKED))
"""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The kept result of an earlier request with the same key."""

    status: int
    content_type: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that this request holds: finish it with `complete` or `release`."""

    user_id: UUID
    route: str
    key: str
    locked_until: datetime
    pool: Pool

    async def complete(
        self,
        status: int,
        content_type: str | None,
        body: bytes,
        connection: Connection | None = None,
    ) -> None:
        """Keep a 2xx result for 24 h. On `connection` it is part of the caller's transaction."""
        target = connection or self.pool
        await target.execute(
            _COMPLETE, *self._place(), status, content_type, body, timeout=STATEMENT_SECONDS
        )

    async def release(self) -> None:
        """Free the key: the request had no effect."""
        await self.pool.execute(_RELEASE, *self._place(), timeout=STATEMENT_SECONDS)

    def _place(self) -> tuple[UUID, str, str, datetime]:
        return self.user_id, self.route, self.key, self.locked_until


class IdempotencyStore:
    """Claims keys in the shared database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(
        self, user_id: UUID, route: str, key: str, request_hash: str
    ) -> Claim | StoredAnswer:
        """A fresh claim, or the answer that was kept.

        Raises IDEMPOTENCY_IN_PROGRESS (409) and IDEMPOTENCY_KEY_REUSED (422).
        """
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                for _ in range(_ATTEMPTS):
                    found = await self._try_claim(user_id, route, key, request_hash)
                    if found is not None:
                        return found
        except (*CONNECTION_ERRORS, asyncpg.PostgresError) as error:
            raise PeerError(
                f"the shared database did not answer for an idempotency key ({type(error).__name__});"
                " check SHARED_DATABASE_URL (`migrate status`)"
            ) from error
        raise PeerError(f"the idempotency key of {route} changes hands too fast")

    async def _try_claim(
        self, user_id: UUID, route: str, key: str, request_hash: str
    ) -> Claim | StoredAnswer | None:
        """One attempt; None when the key was freed in between."""
        locked_until = await self._pool.fetchval(
            _CLAIM, user_id, route, key, request_hash, LOCK_SECONDS
        )
        if locked_until is not None:
            return Claim(user_id, route, key, locked_until, self._pool)
        row = await self._pool.fetchrow(_LOOK, user_id, route, key)
        if row is None:
            return None
        if row["request_hash"] != request_hash:
            raise CallerError(
                Code.IDEMPOTENCY_KEY_REUSED, "This Idempotency-Key was used for another request"
            )
        if row["state"] == "completed":
            return StoredAnswer(row["status"], row["content_type"], row["body"] or b"")
        raise CallerError(
            Code.IDEMPOTENCY_IN_PROGRESS,
            "The first request with this Idempotency-Key is still running",
            headers={"Retry-After": "1"},
        )

    async def purge_expired(self, batch_rows: int = 1000) -> int:
        """Delete expired keys, at most `batch_rows`; gives how many (`shared.idempotency.jobs`)."""
        status = await self._pool.execute(_PURGE, batch_rows, timeout=STATEMENT_SECONDS)
        return int(status.rpartition(" ")[2])
