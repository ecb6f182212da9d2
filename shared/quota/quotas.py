"""Calls of the quota functions (public contract, 5.3), the only way to spend; no limit lives here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

import asyncpg

from shared.errors import CallerError, Code, insufficient_quota
from shared.observability.context import current_request_id
from shared.placement.connection import Connection, Pool
from shared.placement.session import borrow
from shared.quota.charges import Charge, closing
from shared.quota.wire import shown, shown_time

QuotaType = Literal[
    "chat", "premium_model", "image_generation", "image_recognition", "video", "story"
]
GrantSource = Literal["referral", "streak", "promo", "support"]

_STATUS = """
SELECT s.quota_type, s.tier, s.limit_amount, s.used, s.held, s.bonus, s.tokens_used, s.period,
  s.period_start, s.resets_at,
  (SELECT min(p.tier) FROM plan_quotas p WHERE p.quota_type = s.quota_type AND p.tier > s.tier
     AND (p.limit_amount IS NULL OR p.limit_amount > s.limit_amount)) AS upgrade_to
FROM quota_status s WHERE s.user_id = $1 AND ($2::text IS NULL OR s.quota_type = $2)
"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A held charge. `remaining` is what is left after it; None is unlimited."""

    id: UUID
    quota_type: str
    remaining: int | None


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """What a user has of one quota now. `limit` None is unlimited."""

    quota_type: str
    tier: int
    limit: int | None
    used: int
    held: int
    bonus: int
    tokens_used: int
    period: str
    period_start: datetime
    resets_at: datetime
    upgrade_to: int | None  # lowest tier with a higher limit

    @property
    def remaining(self) -> int | None:
        """Units left, None without a limit."""
        return (
            None if self.limit is None else max(self.limit - self.used - self.held, 0) + self.bonus
        )


class Quotas:
    """Reserve, settle, refund, grant and sweep on the shared database.

    Admission is always decided by `quota_reserve` under a row lock, never by a figure that was
    read before. Every call may be repeated.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def reserve(
        self,
        user_id: UUID,
        quota_type: QuotaType,
        amount: int = 1,
        *,
        subject: UUID | None = None,
        attempt_id: UUID | None = None,
        request_id: str | None = None,
    ) -> Reservation:
        """Hold `amount` units; one statement, which is a transaction of its own.

        `subject` is the conversation for `chat`; `attempt_id` is made here unless the same attempt
        is repeated. Raises CallerError INSUFFICIENT_QUOTA.
        """
        if amount < 1:
            raise ValueError("an amount is at least 1; a negative one would be a gift")
        async with borrow(self._pool, "shared") as connection:
            row = await connection.fetchrow(
                "SELECT reservation_id, remaining FROM quota_reserve($1, $2, $3, $4, $5, $6)",
                user_id,
                quota_type,
                amount,
                None if subject is None else str(subject),
                str(attempt_id or uuid4()),
                request_id or current_request_id(),
            )
        if row is None or row["reservation_id"] is None:
            raise await self._refusal(user_id, quota_type)
        return Reservation(row["reservation_id"], quota_type, row["remaining"])

    async def settle(
        self, reservation_id: UUID, tokens: int = 0, *, connection: Connection | None = None
    ) -> bool:
        """Make a charge final; False when it already was. Refunded charges stay refunded.

        Give the `connection` of the transaction that stores the result when that is the shared
        database; else it is a transaction of its own, right after the result is stored.
        """
        return await self._call(
            "SELECT quota_settle($1, $2)", reservation_id, tokens, connection=connection
        )

    async def refund(self, reservation_id: UUID, *, connection: Connection | None = None) -> bool:
        """Give a charge back; False when it was given back before."""
        return await self._call("SELECT quota_refund($1)", reservation_id, connection=connection)

    async def grant(
        self,
        user_id: UUID,
        quota_type: QuotaType,
        amount: int,
        source: GrantSource,
        source_id: str,
        *,
        connection: Connection | None = None,
    ) -> bool:
        """Add a bonus once per source; False when this source has granted it before."""
        return await self._call(
            "SELECT quota_grant($1, $2, $3, $4, $5)",
            user_id,
            quota_type,
            amount,
            source,
            source_id,
            connection=connection,
        )

    async def sweep(self) -> int:
        """Refund what was held beyond its time; run every minute. Returns how many; 0 is usual."""
        async with borrow(self._pool, "shared") as connection:
            swept: int = await connection.fetchval("SELECT quota_sweep()")
        return swept

    async def status(self, user_id: UUID) -> dict[str, QuotaRow]:
        """Every quota of a user by type: for display only, never to decide."""
        rows = await self._pool.fetch(_STATUS, user_id, None)
        return {row["quota_type"]: _quota_row(row) for row in rows}

    @asynccontextmanager
    async def charge(
        self,
        user_id: UUID,
        quota_type: QuotaType,
        amount: int = 1,
        *,
        subject: UUID | None = None,
        request_id: str | None = None,
    ) -> AsyncIterator[Charge]:
        """Reserve around a provider call: settled at the end if `keep` was called, else refunded.

        Both happen although the client has left and the task is being cancelled.
        Raises CallerError INSUFFICIENT_QUOTA before anything is called.
        """
        reservation = await self.reserve(
            user_id, quota_type, amount, subject=subject, request_id=request_id
        )
        charge = Charge(reservation.id, quota_type, reservation.remaining)
        async with closing(charge, settle=self.settle, refund=self.refund):
            yield charge

    async def _call(self, sql: str, *args: object, connection: Connection | None) -> bool:
        if connection is not None:
            return bool(await connection.fetchval(sql, *args))
        async with borrow(self._pool, "shared") as own:
            return bool(await own.fetchval(sql, *args))

    async def _refusal(self, user_id: UUID, quota_type: str) -> CallerError:
        row = await self._pool.fetchrow(_STATUS, user_id, quota_type)
        if row is None:
            return CallerError(Code.INSUFFICIENT_QUOTA, "Nothing is left of this allowance")
        found = _quota_row(row)
        return insufficient_quota(
            quota_type,
            remaining=shown(found.remaining),
            limit=shown(found.limit),
            resets_at=shown_time(found.resets_at),
            current_tier=found.tier,
            upgrade_to=found.upgrade_to,
        )


def _quota_row(row: asyncpg.Record) -> QuotaRow:
    fields = {name: row[name] for name in row.keys() if name != "limit_amount"}  # noqa: SIM118
    return QuotaRow(limit=row["limit_amount"], **fields)
