"""What Stripe's deliveries change here: by the state they carry, not by their order."""

from __future__ import annotations

from uuid import UUID

from monolith.context import Context
from monolith.database import Connection
from monolith.payments.promos import mark_redeemed
from monolith.payments.rules import Wanted, held_of, is_stale
from monolith.payments.stripe_payload import (
    Json,
    StripeState,
    invoice_subscription,
    invoice_user,
    mapping,
    reference,
    subscription_state,
    user_id_of,
)
from monolith.payments.subscriptions import change, lock_user, open_new
from monolith.payments.transactions import record
from monolith.webhooks.inbox import DeferredError, Delivery, Outcome, note_user

PROVIDER = "stripe"
SUBSCRIPTION_EVENTS = frozenset(
    f"customer.subscription.{word}"
    for word in ("created", "updated", "paused", "resumed", "deleted")
)
PAID = frozenset({"invoice.payment_succeeded", "invoice.paid"})


class UnknownPriceError(LookupError):
    """No price of the subscription is in plan_prices; no tier is touched until it is."""


async def apply_stripe(_context: Context, connection: Connection, delivery: Delivery) -> Outcome:
    item = mapping(mapping(delivery.body.get("data")).get("object"))
    if delivery.event_type == "checkout.session.completed":
        await _checkout_completed(connection, delivery, item)
    elif delivery.event_type in SUBSCRIPTION_EVENTS:
        await _subscription(connection, delivery, item)
    elif delivery.event_type in PAID:
        await _invoice(connection, delivery, item, "payment", "amount_paid")
    elif delivery.event_type == "invoice.payment_failed":
        await _invoice(connection, delivery, item, "failure", "amount_due")
    elif delivery.event_type == "charge.refunded":
        await _refund(connection, delivery, item)
    else:
        return "ignored"
    return "processed"


async def _known_user(connection: Connection, *candidates: UUID | None) -> UUID | None:
    for candidate in candidates:
        if candidate is not None and await connection.fetchval(
            "SELECT true FROM users WHERE id = $1", candidate
        ):
            return candidate
    return None


async def _find_user(
    connection: Connection, customer: str | None, named: UUID | None, subscription: str | None
) -> UUID:
    """By customer, by the subscription that we know, by the metadata; else deferred."""
    row = await connection.fetchrow(
        "SELECT (SELECT user_id FROM billing_customers WHERE provider = 'stripe'"
        " AND customer_id = $1) AS by_customer, (SELECT user_id FROM subscriptions"
        " WHERE provider = 'stripe' AND provider_subscription_id = $2) AS by_subscription",
        customer,
        subscription,
    )
    by_customer, by_subscription = (row[0], row[1]) if row is not None else (None, None)
    found = await _known_user(connection, by_customer, by_subscription, named)
    if found is None:
        raise DeferredError("the customer is not known yet")
    return found


async def _checkout_completed(connection: Connection, delivery: Delivery, item: Json) -> None:
    metadata = mapping(item.get("metadata"))
    customer = reference(item.get("customer"))
    named = user_id_of(item.get("client_reference_id"), metadata.get("user_id"))
    user_id = await _find_user(connection, customer, named, None)
    await note_user(connection, delivery, user_id)
    if customer is not None:
        await connection.execute(
            "INSERT INTO billing_customers (provider, customer_id, user_id)"
            " SELECT 'stripe', $1, $2 WHERE NOT EXISTS (SELECT 1 FROM billing_customers"
            " WHERE provider = 'stripe' AND customer_id = $1)"
            " ON CONFLICT (provider, user_id) DO UPDATE SET customer_id = excluded.customer_id",
            customer,
            user_id,
        )
    code = metadata.get("promo_code")
    if isinstance(code, str) and code:
        promo = await connection.fetchrow(
            "SELECT code, kind FROM promo_codes WHERE code = $1 FOR UPDATE", code.upper()
        )
        if promo is not None:
            await mark_redeemed(connection, promo["code"], promo["kind"], user_id, None)


async def _subscription(connection: Connection, delivery: Delivery, item: Json) -> None:
    state = subscription_state(item, delivery.event_type)
    user_id = await _find_user(connection, state.customer, state.user_id, state.id)
    await note_user(connection, delivery, user_id)
    await lock_user(connection, user_id)
    row = await connection.fetchrow(
        "SELECT * FROM subscriptions WHERE provider = 'stripe'"
        " AND provider_subscription_id = $1 FOR UPDATE",
        state.id,
    )
    price = await _price(connection, state)
    if row is None:
        if price is None:
            raise UnknownPriceError(f"prices {', '.join(state.price_ids) or 'none'}")
        wanted = _wanted(state, *price, None)
        await open_new(connection, user_id, PROVIDER, state.id, wanted, delivery.told_at, None)
        return
    held = held_of(dict(row))
    if is_stale(held, delivery.told_at, state.status):
        return
    if price is None:
        if state.status != "cancelled":
            raise UnknownPriceError(f"prices {', '.join(state.price_ids) or 'none'}")
        price = (held.price_id, held.tier)
    pending = None if price[1] != held.tier or state.status == "cancelled" else held.pending_tier
    await change(connection, held, _wanted(state, *price, pending), delivery.told_at, None)


async def _price(connection: Connection, state: StripeState) -> tuple[str, int] | None:
    """The known price of the highest tier among the subscription's items."""
    row = await connection.fetchrow(
        "SELECT price_id, tier FROM plan_prices WHERE provider = 'stripe'"
        " AND price_id = ANY ($1) ORDER BY tier DESC, price_id LIMIT 1",
        list(state.price_ids),
    )
    return None if row is None else (row["price_id"], row["tier"])


def _wanted(state: StripeState, price_id: str, tier: int, pending_tier: int | None) -> Wanted:
    return Wanted(
        price_id=price_id,
        tier=tier,
        status=state.status,
        current_period_end=state.current_period_end,
        resumes_at=state.resumes_at,
        cancel_at_period_end=state.cancel_at_period_end,
        pending_tier=pending_tier,
    )


async def _invoice(
    connection: Connection, delivery: Delivery, item: Json, kind: str, amount_field: str
) -> None:
    user_id = await _find_user(
        connection,
        reference(item.get("customer")),
        invoice_user(item),
        invoice_subscription(item),
    )
    await note_user(connection, delivery, user_id)
    await record(
        connection,
        user_id,
        PROVIDER,
        str(item["id"]),
        kind,
        int(item.get(amount_field) or 0),
        str(item.get("currency") or "usd").lower(),
        delivery.told_at,
    )


async def _refund(connection: Connection, delivery: Delivery, item: Json) -> None:
    named = user_id_of(mapping(item.get("metadata")).get("user_id"))
    user_id = await _find_user(connection, reference(item.get("customer")), named, None)
    await note_user(connection, delivery, user_id)
    await record(
        connection,
        user_id,
        PROVIDER,
        str(item["id"]),
        "refund",
        int(item.get("amount_refunded") or 0),
        str(item.get("currency") or "usd").lower(),
        delivery.told_at,
    )
