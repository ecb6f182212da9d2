"""What RevenueCat's deliveries change here: subscriptions bought in the app stores."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.payments import repository
from services.payments.entitlements import apply_state, change
from services.payments.foreign import Json, first_uuid, mapping, told_at
from services.payments.models import Held, State
from services.payments.rules import is_stale
from services.payments.transactions import Movement, record
from shared.placement import Connection
from shared.webhooks import DeferredError, Delivery, Effect
from shared.webhooks.processor import Handler
from shared.webhooks.providers import moment

PROVIDER = "revenuecat"
OPENING = ("INITIAL_PURCHASE", "RENEWAL", "UNCANCELLATION", "PRODUCT_CHANGE")
PAYING = frozenset({"INITIAL_PURCHASE", "RENEWAL"})
ENDING = ("CANCELLATION", "EXPIRATION", "BILLING_ISSUE")
#: Fraction digits of currencies that do not have two (ISO 4217).
FRACTION_DIGITS = {"jpy": 0, "krw": 0, "clp": 0, "vnd": 0, "isk": 0, "kwd": 3, "bhd": 3, "jod": 3}


class UnknownProductError(LookupError):
    """The product is not in plan_prices; no tier is touched until it is."""


def revenuecat_handlers() -> dict[str, Handler]:
    """By type; what is not here is ignored."""
    return {
        **dict.fromkeys(OPENING, open_or_change),
        **dict.fromkeys(ENDING, end),
        "SUBSCRIPTION_PAUSED": wait_for_the_end,
        "TRANSFER": transfer,
    }


async def open_or_change(connection: Connection, delivery: Delivery) -> Effect:
    event, at = _event(delivery), told_at(delivery)
    user_id = await _user(connection, event.get("app_user_id"), event.get("original_app_user_id"))
    await repository.lock_user(connection, user_id)
    held = await repository.locked_of_stores(connection, user_id)
    state = await _opened(connection, event, delivery.event_type)
    store_id = str(event.get("original_transaction_id") or event.get("app_user_id"))
    await apply_state(connection, user_id, PROVIDER, store_id, held, state, at)
    payment = paid(event, at)
    if delivery.event_type in PAYING and payment is not None:
        await record(connection, user_id, payment)
    return Effect(user_id=user_id)


async def end(connection: Connection, delivery: Delivery) -> Effect:
    event, at = _event(delivery), told_at(delivery)
    user_id = await _user(connection, event.get("app_user_id"), event.get("original_app_user_id"))
    await repository.lock_user(connection, user_id)
    held = await repository.locked_of_stores(connection, user_id)
    if held is None:
        raise DeferredError("the subscription is not known yet")
    if not is_stale(held, at, held.state.status):
        await change(connection, held, ended(held, delivery.event_type, event), at)
    return Effect(user_id=user_id)


async def wait_for_the_end(_connection: Connection, _delivery: Delivery) -> Effect:
    """The store pauses at the period's end, which comes as EXPIRATION."""
    return Effect()


async def transfer(connection: Connection, delivery: Delivery) -> Effect:
    """The store account was taken over by another of our users."""
    event = _event(delivery)
    old = first_uuid(*(event.get("transferred_from") or ()))
    named = first_uuid(*(event.get("transferred_to") or ()), event.get("app_user_id"))
    if old is None or named is None:
        raise DeferredError("the users of the transfer are not known yet")
    new = await _user(connection, str(named))
    for user_id in sorted((old, new)):
        await repository.lock_user(connection, user_id)
    await repository.transfer_of_stores(connection, old, new)
    return Effect(user_id=new)


def ended(held: Held, kind: str, event: Json) -> State:
    """The state after a delivery that ends, or will end, a subscription."""
    period_end = moment(event.get("expiration_at_ms"), milliseconds=True)
    state = held.state.but(current_period_end=period_end or held.state.current_period_end)
    if kind == "CANCELLATION":
        return state.but(cancel_at_period_end=True)
    return state.but(status="past_due" if kind == "BILLING_ISSUE" else "cancelled")


def paid(event: Json, at: datetime) -> Movement | None:
    """What was paid, if the delivery says so."""
    price, currency = event.get("price_in_purchased_currency"), event.get("currency")
    reference = event.get("transaction_id")
    if not isinstance(price, int | float) or not isinstance(currency, str) or not reference:
        return None
    code = currency.lower()
    amount = round(price * 10 ** FRACTION_DIGITS.get(code, 2))
    return Movement(PROVIDER, str(reference), "payment", amount, code, at) if amount > 0 else None


async def _opened(connection: Connection, event: Json, kind: str) -> State:
    product = event.get("product_id")
    if kind == "PRODUCT_CHANGE" and event.get("new_product_id"):
        product = event["new_product_id"]
    known = await repository.best_price(connection, PROVIDER, [str(product)])
    if known is None:
        raise UnknownProductError(f"product {product!r}")
    return State(
        price_id=known[0],
        tier=known[1],
        status="trialing" if event.get("period_type") == "TRIAL" else "active",
        current_period_end=moment(event.get("expiration_at_ms"), milliseconds=True),
    )


async def _user(connection: Connection, *candidates: object) -> UUID:
    user_id = first_uuid(*candidates)
    if user_id is None or not await repository.is_user(connection, user_id):
        raise DeferredError("the user is not known yet")
    return user_id


def _event(delivery: Delivery) -> Json:
    return mapping(delivery.payload.get("event"))
