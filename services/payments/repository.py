"""The SQL of subscriptions, customers, prices and plans; knows no HTTP and no provider."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from services.payments.models import Held, State, held_of
from shared.placement import Connection

# The open one of the highest tier, else the latest (contract, 2.3).
_CHOSEN = """SELECT * FROM subscriptions WHERE user_id = $1
 ORDER BY status = 'cancelled', CASE WHEN status <> 'cancelled' THEN tier END DESC,
  updated_at DESC, id DESC LIMIT 1"""
_OF_STRIPE = """SELECT * FROM subscriptions
 WHERE provider = 'stripe' AND provider_subscription_id = $1"""
_OF_STORES = """SELECT * FROM subscriptions WHERE provider = 'revenuecat' AND user_id = $1
 ORDER BY status = 'cancelled', updated_at DESC LIMIT 1 FOR UPDATE"""
_INSERT = """INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id, tier,
  status, current_period_end, resumes_at, cancel_at_period_end, provider_updated_at)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING *"""
_CHANGE = """UPDATE subscriptions SET price_id = $2, tier = $3, status = $4,
  current_period_end = $5, resumes_at = $6, cancel_at_period_end = $7, pending_tier = $8,
  version = version + $9, provider_updated_at = greatest(provider_updated_at, $10)
 WHERE id = $1 RETURNING *"""
_PRICE_OF_TIER = """SELECT p.price_id FROM plan_prices p
 LEFT JOIN plan_prices old ON old.price_id = $2
 WHERE p.provider = 'stripe' AND p.active AND p.tier = $1
 ORDER BY p.billing_interval IS DISTINCT FROM old.billing_interval, p.amount LIMIT 1"""
_BEST_PRICE = """SELECT price_id, tier FROM plan_prices
 WHERE provider = $1 AND price_id = ANY ($2::text[]) ORDER BY tier DESC, price_id LIMIT 1"""
_TIE = """INSERT INTO billing_customers (provider, customer_id, user_id)
 SELECT 'stripe', $1, $2 WHERE NOT EXISTS (SELECT 1 FROM billing_customers
  WHERE provider = 'stripe' AND customer_id = $1)
 ON CONFLICT (provider, user_id) DO UPDATE SET customer_id = excluded.customer_id"""
_OWNERS = """SELECT
 (SELECT user_id FROM billing_customers WHERE provider = 'stripe' AND customer_id = $1) AS customer,
 (SELECT user_id FROM subscriptions WHERE provider = 'stripe'
   AND provider_subscription_id = $2) AS subscription"""


async def lock_user(connection: Connection, user_id: UUID) -> None:
    """One writer of a user's subscriptions at a time, in every app, also where there is no row yet."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('subscriptions:' || $1::text, 0))",
        str(user_id),
    )


async def chosen(connection: Connection, user_id: UUID, *, locked: bool = False) -> Held | None:
    """The subscription that is shown and changed."""
    row = await connection.fetchrow(_CHOSEN + (" FOR UPDATE" if locked else ""), user_id)
    return None if row is None else held_of(row)


async def effective_tier(connection: Connection, user_id: UUID) -> int:
    """Read now: payments never decides on a cached tier."""
    tier = await connection.fetchval("SELECT tier FROM user_tiers WHERE user_id = $1", user_id)
    return int(tier or 0)


async def of_stripe(connection: Connection, subscription_id: str) -> Held | None:
    row = await connection.fetchrow(_OF_STRIPE, subscription_id)
    return None if row is None else held_of(row)


async def locked_of_stripe(connection: Connection, subscription_id: str) -> Held | None:
    """After the user's lock, never before it."""
    row = await connection.fetchrow(_OF_STRIPE + " FOR UPDATE", subscription_id)
    return None if row is None else held_of(row)


async def locked_of_stores(connection: Connection, user_id: UUID) -> Held | None:
    """A person has one subscription in the stores, whatever the store calls it."""
    row = await connection.fetchrow(_OF_STORES, user_id)
    return None if row is None else held_of(row)


async def open_of(connection: Connection, user_id: UUID) -> list[Held]:
    """Locked."""
    rows = await connection.fetch(
        "SELECT * FROM subscriptions WHERE user_id = $1 AND status <> 'cancelled' FOR UPDATE",
        user_id,
    )
    return [held_of(row) for row in rows]


async def open_ids_of_stripe(connection: Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT provider_subscription_id FROM subscriptions"
        " WHERE provider = 'stripe' AND status <> 'cancelled' ORDER BY provider_subscription_id"
    )
    return [row["provider_subscription_id"] for row in rows]


async def users_of_stores(connection: Connection) -> list[UUID]:
    """Who has an open subscription of the app stores."""
    rows = await connection.fetch(
        "SELECT DISTINCT user_id FROM subscriptions"
        " WHERE provider = 'revenuecat' AND status <> 'cancelled' ORDER BY user_id"
    )
    return [row["user_id"] for row in rows]


async def insert(
    connection: Connection,
    user_id: UUID,
    provider: str,
    subscription_id: str,
    state: State,
    told_at: datetime,
) -> Held:
    row = await connection.fetchrow(
        _INSERT,
        user_id,
        provider,
        subscription_id,
        state.price_id,
        state.tier,
        state.status,
        state.current_period_end,
        state.resumes_at,
        state.cancel_at_period_end,
        told_at,
    )
    return held_of(_there(row))


async def write(
    connection: Connection, held: Held, state: State, told_at: datetime, *, is_new_version: bool
) -> Held:
    """Write the state of a locked row."""
    row = await connection.fetchrow(
        _CHANGE,
        held.id,
        state.price_id,
        state.tier,
        state.status,
        state.current_period_end,
        state.resumes_at,
        state.cancel_at_period_end,
        state.pending_tier,
        int(is_new_version),
        told_at,
    )
    return held_of(_there(row))


async def transfer_of_stores(connection: Connection, old: UUID, new: UUID) -> None:
    await connection.execute(
        "UPDATE subscriptions SET user_id = $2, version = version + 1"
        " WHERE provider = 'revenuecat' AND user_id = $1",
        old,
        new,
    )


async def price_of_tier(connection: Connection, tier: int, like: str) -> str | None:
    """The active price of a tier, with the interval of the price `like` where there is one."""
    price: str | None = await connection.fetchval(_PRICE_OF_TIER, tier, like)
    return price


async def best_price(
    connection: Connection, provider: str, price_ids: Sequence[str]
) -> tuple[str, int] | None:
    """(price, tier) of the highest tier among some prices; None if we know none of them."""
    row = await connection.fetchrow(_BEST_PRICE, provider, list(price_ids))
    return None if row is None else (row["price_id"], row["tier"])


async def is_sold(connection: Connection, price_id: str) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT true FROM plan_prices WHERE price_id = $1 AND active AND provider = 'stripe'",
            price_id,
        )
    )


async def sold_prices(connection: Connection) -> list[asyncpg.Record]:
    return await connection.fetch(
        "SELECT price_id, tier, amount, currency, billing_interval FROM plan_prices"
        " WHERE active AND provider = 'stripe' ORDER BY tier, amount, price_id"
    )


async def limits_by_tier(connection: Connection) -> dict[int, dict[str, int | None]]:
    """Limits by tier and quota type; None is unlimited."""
    found: dict[int, dict[str, int | None]] = {}
    for row in await connection.fetch("SELECT tier, quota_type, limit_amount FROM plan_quotas"):
        found.setdefault(row["tier"], {})[row["quota_type"]] = row["limit_amount"]
    return found


async def email_of(connection: Connection, user_id: UUID) -> str:
    """Empty for an account that is gone."""
    return str(await connection.fetchval("SELECT email FROM users WHERE id = $1", user_id) or "")


async def customer_of(connection: Connection, user_id: UUID) -> str | None:
    """The provider's one customer of a user."""
    found: str | None = await connection.fetchval(
        "SELECT customer_id FROM billing_customers WHERE provider = 'stripe' AND user_id = $1",
        user_id,
    )
    return found


async def keep_customer(connection: Connection, customer_id: str, user_id: UUID) -> None:
    """The first customer of a user."""
    await connection.execute(
        "INSERT INTO billing_customers (provider, customer_id, user_id) VALUES ('stripe', $1, $2)",
        customer_id,
        user_id,
    )


async def tie_customer(connection: Connection, customer_id: str, user_id: UUID) -> None:
    """The provider says whose a customer is; one that is somebody's stays theirs."""
    await connection.execute(_TIE, customer_id, user_id)


async def find_user(
    connection: Connection,
    customer: str | None,
    subscription: str | None,
    named: UUID | None,
) -> UUID | None:
    """By customer, else by a subscription that we know, else the one that is named, if they exist."""
    row = await connection.fetchrow(_OWNERS, customer, subscription)
    owners = (row["customer"], row["subscription"]) if row is not None else ()
    for candidate in (*owners, named):
        if candidate is not None and await is_user(connection, candidate):
            return UUID(str(candidate))
    return None


async def is_user(connection: Connection, user_id: UUID) -> bool:
    return bool(await connection.fetchval("SELECT true FROM users WHERE id = $1", user_id))


async def is_living_user(connection: Connection, user_id: UUID) -> bool:
    return bool(
        await connection.fetchval("SELECT deleted_at IS NULL FROM users WHERE id = $1", user_id)
    )


async def forget_allowances(connection: Connection, user_id: UUID) -> None:
    """Counters, grants and redemptions of an account that is gone; transactions stay."""
    await connection.execute("DELETE FROM user_quotas WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM quota_grants WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM promo_redemptions WHERE user_id = $1", user_id)


def _there(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise LookupError("a locked subscription is gone")
    return row
