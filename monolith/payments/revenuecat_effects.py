"""What RevenueCat's deliveries change here (subscriptions bought in the app stores)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from monolith.context import Context
from monolith.database import Connection
from monolith.payments.rules import Held, Wanted, held_of, is_stale, wanted_of
from monolith.payments.stripe_payload import Json, mapping, user_id_of
from monolith.payments.subscriptions import change, lock_user, open_new
from monolith.payments.transactions import record
from monolith.webhooks.inbox import DeferredError, Delivery, Outcome, note_user, unix_time

PROVIDER = "revenuecat"
OPENING = frozenset({"INITIAL_PURCHASE", "RENEWAL", "UNCANCELLATION", "PRODUCT_CHANGE"})
PAYING = frozenset({"INITIAL_PURCHASE", "RENEWAL"})
HANDLED = OPENING | {"CANCELLATION", "EXPIRATION", "BILLING_ISSUE"}
# Fraction digits of currencies that do not have two (ISO 4217).
FRACTION_DIGITS = {"jpy": 0, "krw": 0, "clp": 0, "vnd": 0, "isk": 0, "kwd": 3, "bhd": 3, "jod": 3}


class UnknownProductError(LookupError):
    """The product is not in plan_prices; no tier is touched until it is."""


async def apply_revenuecat(
    _context: Context, connection: Connection, delivery: Delivery
) -> Outcome:
    event = mapping(delivery.body.get("event"))
    kind = delivery.event_type
    if kind == "TRANSFER":
        await _transfer(connection, delivery, event)
        return "processed"
    if kind == "SUBSCRIPTION_PAUSED":
        return "processed"  # the store pauses at the period's end, which comes as EXPIRATION
    if kind not in HANDLED:
        return "ignored"
    user_id = await _user(connection, event)
    await note_user(connection, delivery, user_id)
    await lock_user(connection, user_id)
    held = await _held(connection, user_id)
    if kind in OPENING:
        await _open(connection, delivery, event, user_id, held)
    elif held is None:
        raise DeferredError("the subscription is not known yet")
    elif not is_stale(held, delivery.told_at, held.status):
        await change(connection, held, _ended(held, kind, event), delivery.told_at, None)
    if kind in PAYING:
        await _payment(connection, delivery, event, user_id)
    return "processed"


async def _user(connection: Connection, event: Json) -> UUID:
    user_id = user_id_of(event.get("app_user_id"), event.get("original_app_user_id"))
    known = user_id is not None and await connection.fetchval(
        "SELECT true FROM users WHERE id = $1", user_id
    )
    if user_id is None or not known:
        raise DeferredError("the user is not known yet")
    return user_id


async def _held(connection: Connection, user_id: UUID) -> Held | None:
    """A person has one subscription in the stores, whatever the store calls it."""
    row = await connection.fetchrow(
        "SELECT * FROM subscriptions WHERE provider = 'revenuecat' AND user_id = $1"
        " ORDER BY status = 'cancelled', updated_at DESC LIMIT 1 FOR UPDATE",
        user_id,
    )
    return None if row is None else held_of(dict(row))


def _milliseconds(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return unix_time(value / 1000)


async def _open(
    connection: Connection, delivery: Delivery, event: Json, user_id: UUID, held: Held | None
) -> None:
    product = event.get("product_id")
    if delivery.event_type == "PRODUCT_CHANGE" and event.get("new_product_id"):
        product = event["new_product_id"]
    tier = await connection.fetchval(
        "SELECT tier FROM plan_prices WHERE provider = 'revenuecat' AND price_id = $1", product
    )
    if tier is None:
        raise UnknownProductError(f"product {product!r}")
    wanted = Wanted(
        price_id=str(product),
        tier=tier,
        status="trialing" if event.get("period_type") == "TRIAL" else "active",
        current_period_end=_milliseconds(event.get("expiration_at_ms")),
        resumes_at=None,
        cancel_at_period_end=False,
    )
    if held is None:
        store_id = event.get("original_transaction_id") or event.get("app_user_id")
        await open_new(connection, user_id, PROVIDER, str(store_id), wanted, delivery.told_at, None)
    elif not is_stale(held, delivery.told_at, wanted.status):
        await change(connection, held, wanted, delivery.told_at, None)


def _ended(held: Held, kind: str, event: Json) -> Wanted:
    end = _milliseconds(event.get("expiration_at_ms")) or held.current_period_end
    if kind == "CANCELLATION":
        return wanted_of(held, cancel_at_period_end=True, current_period_end=end)
    if kind == "BILLING_ISSUE":
        return wanted_of(held, status="past_due", current_period_end=end)
    return wanted_of(held, status="cancelled", current_period_end=end)


async def _payment(connection: Connection, delivery: Delivery, event: Json, user_id: UUID) -> None:
    """A payment, if the delivery says what was paid."""
    paid, currency = event.get("price_in_purchased_currency"), event.get("currency")
    reference = event.get("transaction_id")
    if not isinstance(paid, int | float) or not isinstance(currency, str) or not reference:
        return
    code = currency.lower()
    amount = round(paid * 10 ** FRACTION_DIGITS.get(code, 2))
    if amount > 0:
        await record(
            connection,
            user_id,
            PROVIDER,
            str(reference),
            "payment",
            amount,
            code,
            delivery.told_at,
        )


async def _transfer(connection: Connection, delivery: Delivery, event: Json) -> None:
    """The store account was taken over by another of our users."""
    old = user_id_of(*(event.get("transferred_from") or ()))
    new = user_id_of(*(event.get("transferred_to") or ()), event.get("app_user_id"))
    if old is None or new is None:
        raise DeferredError("the users of the transfer are not known yet")
    new = await _user(connection, {"app_user_id": str(new)})
    await note_user(connection, delivery, new)
    for user_id in sorted((old, new)):
        await lock_user(connection, user_id)
    await connection.execute(
        "UPDATE subscriptions SET user_id = $2, version = version + 1"
        " WHERE provider = 'revenuecat' AND user_id = $1",
        old,
        new,
    )
