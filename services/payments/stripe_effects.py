"""What Stripe's deliveries change here: by the state they carry, not by their order."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.payments import promos, repository
from services.payments.entitlements import apply_state
from services.payments.foreign import Json, first_uuid, mapping, reference, told_at
from services.payments.models import Held
from services.payments.rules import is_stale
from services.payments.stripe_payload import (
    StripeSubscription,
    read_subscription,
    subscription_of_invoice,
    user_of_invoice,
)
from services.payments.transactions import Kind, Movement, record
from shared.placement import Connection
from shared.webhooks import DeferredError, Delivery, Effect
from shared.webhooks.processor import Handler

PROVIDER = "stripe"
SUBSCRIPTION_TYPES = tuple(
    f"customer.subscription.{word}"
    for word in ("created", "updated", "paused", "resumed", "deleted")
)
#: Type -> what kind of movement an invoice is, and the field of its amount.
INVOICE_TYPES: dict[str, tuple[Kind, str]] = {
    "invoice.payment_succeeded": ("payment", "amount_paid"),
    "invoice.paid": ("payment", "amount_paid"),
    "invoice.payment_failed": ("failure", "amount_due"),
}


class UnknownPriceError(LookupError):
    """No price of the subscription is in plan_prices; no tier is touched until one is."""


def stripe_handlers() -> dict[str, Handler]:
    """By type; what is not here is ignored."""
    return {
        "checkout.session.completed": complete_checkout,
        **dict.fromkeys(SUBSCRIPTION_TYPES, apply_subscription),
        **dict.fromkeys(INVOICE_TYPES, book_invoice),
        "charge.refunded": book_refund,
    }


async def complete_checkout(connection: Connection, delivery: Delivery) -> Effect:
    """Tie the customer to the user, and count the promo code."""
    item = _object(delivery)
    metadata = mapping(item.get("metadata"))
    customer = reference(item.get("customer"))
    named = first_uuid(item.get("client_reference_id"), metadata.get("user_id"))
    user_id = await _user(connection, customer, None, named)
    if customer is not None:
        await repository.tie_customer(connection, customer, user_id)
    code = metadata.get("promo_code")
    if isinstance(code, str) and code:
        await promos.mark_checked_out(connection, code, user_id)
    return Effect(user_id=user_id)


async def apply_subscription(connection: Connection, delivery: Delivery) -> Effect:
    told = read_subscription(_object(delivery), is_deleted=delivery.event_type.endswith(".deleted"))
    return Effect(user_id=await bring_to(connection, told, told_at(delivery)))


async def bring_to(connection: Connection, told: StripeSubscription, at: datetime) -> UUID:
    """Bring our row to a state of Stripe's; returns whose it is.

    Raises UnknownPriceError, and DeferredError while the user is not known.
    """
    user_id = await _user(connection, told.customer, told.id, told.user_id)
    await repository.lock_user(connection, user_id)
    held = await repository.locked_of_stripe(connection, told.id)
    if held is not None and is_stale(held, at, told.status):
        return user_id
    price_id, tier = await _price(connection, held, told)
    pending = None
    if held is not None and tier == held.state.tier and told.status != "cancelled":
        pending = held.state.pending_tier
    state = told.state(price_id, tier, pending)
    await apply_state(connection, user_id, PROVIDER, told.id, held, state, at)
    return user_id


async def book_invoice(connection: Connection, delivery: Delivery) -> Effect:
    """One transaction per invoice, however often and by which types it is told."""
    item = _object(delivery)
    kind, amount_field = INVOICE_TYPES[delivery.event_type]
    user_id = await _user(
        connection,
        reference(item.get("customer")),
        subscription_of_invoice(item),
        user_of_invoice(item),
    )
    await record(connection, user_id, _movement(delivery, item, kind, amount_field))
    return Effect(user_id=user_id)


async def book_refund(connection: Connection, delivery: Delivery) -> Effect:
    item = _object(delivery)
    named = first_uuid(mapping(item.get("metadata")).get("user_id"))
    user_id = await _user(connection, reference(item.get("customer")), None, named)
    await record(connection, user_id, _movement(delivery, item, "refund", "amount_refunded"))
    return Effect(user_id=user_id)


async def _price(
    connection: Connection, held: Held | None, told: StripeSubscription
) -> tuple[str, int]:
    known = await repository.best_price(connection, PROVIDER, told.price_ids)
    if known is not None:
        return known
    if held is not None and told.status == "cancelled":
        return held.state.price_id, held.state.tier  # what ends needs no price
    raise UnknownPriceError(f"prices {', '.join(told.price_ids) or 'none'}")


async def _user(
    connection: Connection, customer: str | None, subscription: str | None, named: UUID | None
) -> UUID:
    found = await repository.find_user(connection, customer, subscription, named)
    if found is None:
        raise DeferredError("the customer is not known yet")
    return found


def _object(delivery: Delivery) -> Json:
    return mapping(mapping(delivery.payload.get("data")).get("object"))


def _movement(delivery: Delivery, item: Json, kind: Kind, amount_field: str) -> Movement:
    return Movement(
        PROVIDER,
        str(item["id"]),
        kind,
        int(item.get(amount_field) or 0),
        str(item.get("currency") or "usd").lower(),
        told_at(delivery),
    )
