"""Rows of subscriptions: reading the one that counts, and writing a new state with its event."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from monolith.database import Connection, emit, one
from monolith.payments.models import QUOTA_TYPES, ProviderName, Status, Subscription
from monolith.payments.rules import Held, Wanted, event_of, held_of
from monolith.quotas import UNLIMITED
from monolith.values import format_timestamp

# The open one of the highest tier, else the latest.
CHOSEN = """SELECT * FROM subscriptions WHERE user_id = $1
  ORDER BY status = 'cancelled', CASE WHEN status <> 'cancelled' THEN tier END DESC,
    updated_at DESC, id DESC LIMIT 1"""


async def chosen(connection: Connection, user_id: UUID, *, locked: bool = False) -> Held | None:
    row = await connection.fetchrow(CHOSEN + (" FOR UPDATE" if locked else ""), user_id)
    return None if row is None else held_of(dict(row))


async def effective(connection: Connection, user_id: UUID) -> int:
    tier = await connection.fetchval("SELECT tier FROM user_tiers WHERE user_id = $1", user_id)
    return int(tier or 0)


def shown(held: Held | None, effective_tier: int) -> Subscription:
    """The object of the contract; its tier is the effective one."""
    if held is None:
        return Subscription(
            id=None,
            tier=effective_tier,
            status="none",
            provider=None,
            price_id=None,
            current_period_end=None,
            cancel_at_period_end=False,
            pending_tier=None,
            resumes_at=None,
            updated_at=None,
        )
    return Subscription(
        id=held.id,
        tier=effective_tier,
        status=cast(Status, held.status),
        provider=cast(ProviderName, held.provider),
        price_id=held.price_id,
        current_period_end=held.current_period_end,
        cancel_at_period_end=held.cancel_at_period_end,
        pending_tier=held.pending_tier,
        resumes_at=held.resumes_at,
        updated_at=held.updated_at,
    )


async def lock_user(connection: Connection, user_id: UUID) -> None:
    """One writer of a user's subscriptions at a time, also where there is no row to lock yet."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('subscriptions:' || $1::text, 0))",
        str(user_id),
    )


async def open_new(
    connection: Connection,
    user_id: UUID,
    provider: str,
    provider_subscription_id: str,
    wanted: Wanted,
    told_at: datetime,
    request_id: str | None,
) -> None:
    """The first row of a subscription, with subscription.created."""
    before = await effective(connection, user_id)
    row = await one(
        connection,
        "INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id, tier,"
        " status, current_period_end, resumes_at, cancel_at_period_end, provider_updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING *",
        user_id,
        provider,
        provider_subscription_id,
        wanted.price_id,
        wanted.tier,
        wanted.status,
        wanted.current_period_end,
        wanted.resumes_at,
        wanted.cancel_at_period_end,
        told_at,
    )
    await _publish(connection, "subscription.created", held_of(dict(row)), before, request_id)


async def change(
    connection: Connection,
    held: Held,
    wanted: Wanted,
    told_at: datetime,
    request_id: str | None,
) -> Held:
    """Write a new state of a locked row; the version moves only if something changed."""
    before = await effective(connection, held.user_id)
    changed = any(getattr(held, name) != getattr(wanted, name) for name in Wanted.__slots__)
    row = await one(
        connection,
        "UPDATE subscriptions SET price_id = $2, tier = $3, status = $4, current_period_end = $5,"
        " resumes_at = $6, cancel_at_period_end = $7, pending_tier = $8, version = version + $9,"
        " provider_updated_at = greatest(provider_updated_at, $10)"
        " WHERE id = $1 RETURNING *",
        held.id,
        wanted.price_id,
        wanted.tier,
        wanted.status,
        wanted.current_period_end,
        wanted.resumes_at,
        wanted.cancel_at_period_end,
        wanted.pending_tier,
        int(changed),
        told_at,
    )
    now = held_of(dict(row))
    event = event_of(held, wanted) if changed else None
    if event is not None:
        await _publish(connection, event, now, before, request_id)
    return now


async def _publish(
    connection: Connection, event: str, held: Held, old_tier: int, request_id: str | None
) -> None:
    new_tier = await effective(connection, held.user_id)
    end = held.current_period_end
    data = {
        "subscription_id": str(held.id),
        "provider": held.provider,
        "old_tier": old_tier,
        "new_tier": new_tier,
        "status": held.status,
        "current_period_end": None if end is None else format_timestamp(end),
        "subscription_version": held.version,
        "quotas": await plan_limits(connection, new_tier),
    }
    await emit(connection, event, held.user_id, data, "payments", request_id)


async def plan_limits(connection: Connection, tier: int) -> dict[str, int]:
    """Limits of a plan, -1 = unlimited."""
    rows = await connection.fetch(
        "SELECT quota_type, limit_amount FROM plan_quotas WHERE tier = $1", tier
    )
    limits = {row["quota_type"]: row["limit_amount"] for row in rows}
    return {q: UNLIMITED if limits.get(q) is None else int(limits[q]) for q in QUOTA_TYPES}
