"""Reserve, settle, refund: the calls of the quota functions, the only way to spend (contract, 5.3)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from monolith.calls import Call
from monolith.context import Context
from monolith.database import FAILURES, Connection, Database
from monolith.errors import ApiError
from monolith.values import format_timestamp

log = logging.getLogger("monolith.quotas")
UNLIMITED = -1  # only in public JSON (contract, 1.7)
REFUSAL = """
SELECT s.tier, s.limit_amount, s.used, s.held, s.bonus, s.resets_at,
  (SELECT min(p.tier) FROM plan_quotas p WHERE p.quota_type = s.quota_type AND p.tier > s.tier
     AND (p.limit_amount IS NULL OR p.limit_amount > s.limit_amount)) AS upgrade_to
FROM quota_status s WHERE s.user_id = $1 AND s.quota_type = $2"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A held charge; remaining = what is left after it, -1 if unlimited."""

    id: UUID
    quota_type: str
    remaining: int


def remaining_of(limit: int | None, used: int, held: int, bonus: int) -> int:
    """Units left, or -1 without a limit."""
    return UNLIMITED if limit is None else max(limit - used - held, 0) + bonus


async def reserve(
    call: Call, quota_type: str, amount: int, subject: UUID | None = None
) -> Reservation:
    """Hold a charge before the provider is called; raises INSUFFICIENT_QUOTA."""
    async with call.context.database.transaction() as connection:
        row = await connection.fetchrow(
            "SELECT reservation_id, remaining FROM quota_reserve($1, $2, $3, $4, $5, $6)",
            call.user_id,
            quota_type,
            amount,
            None if subject is None else str(subject),
            str(uuid.uuid4()),
            call.request_id,
        )
    if row is None or row["reservation_id"] is None:
        raise await _refusal(call.context.database, call.user_id, quota_type)
    left = row["remaining"]
    return Reservation(row["reservation_id"], quota_type, UNLIMITED if left is None else left)


async def _refusal(database: Database, user_id: UUID, quota_type: str) -> ApiError:
    row = await database.row(REFUSAL, user_id, quota_type)
    if row is None:
        return ApiError("INSUFFICIENT_QUOTA", "Nothing is left of this quota")
    left = remaining_of(row["limit_amount"], row["used"], row["held"], row["bonus"])
    return ApiError(
        "INSUFFICIENT_QUOTA",
        f"Nothing is left of the quota {quota_type}",
        {
            "quota_type": quota_type,
            "remaining": left,
            "limit": UNLIMITED if row["limit_amount"] is None else row["limit_amount"],
            "resets_at": format_timestamp(row["resets_at"]),
            "current_tier": row["tier"],
            "upgrade_to": row["upgrade_to"],
        },
    )


async def settle(connection: Connection, reservation_id: UUID, tokens: int = 0) -> None:
    """Make the charge final, in the transaction that stores the result; repeating is harmless."""
    await connection.execute("SELECT quota_settle($1, $2)", reservation_id, tokens)


async def refund(database: Database, reservation_id: UUID) -> None:
    """Give the charge back after nothing was delivered; what fails here the sweep repairs."""
    try:
        await database.execute("SELECT quota_refund($1)", reservation_id)
    except FAILURES as error:
        log.warning("refund left to the sweep: %s", type(error).__name__)


@asynccontextmanager
async def charge(
    call: Call, quota_type: str, amount: int, subject: UUID | None = None
) -> AsyncIterator[Reservation]:
    """Reserve around a provider call; whatever is raised inside gives the charge back."""
    reservation = await reserve(call, quota_type, amount, subject)
    try:
        yield reservation
    except BaseException:
        await refund(call.context.database, reservation.id)
        raise


async def sweep(context: Context) -> None:
    """Give back what was held for more than 15 minutes; run every minute."""
    count = await context.database.value("SELECT quota_sweep()")
    if count:
        log.warning("swept %s stale reservations", count)
