"""Reads what Stripe sends, in its older and newer shapes; pure (docs.stripe.com/api)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.payments.foreign import Json, first_uuid, mapping, reference
from services.payments.models import State
from shared.webhooks.providers import moment

#: Stripe's word -> ours (contract, 2.3).
STATUS = {
    "active": "active",
    "trialing": "trialing",
    "past_due": "past_due",
    "unpaid": "unpaid",
    "incomplete": "unpaid",
    "paused": "paused",
    "canceled": "cancelled",
    "incomplete_expired": "cancelled",
}


class UnknownStatusError(ValueError):
    """A status that is not in the table; the delivery fails and is looked at."""


@dataclass(frozen=True, slots=True)
class StripeSubscription:
    """A subscription object, as far as we care. `price_ids` may hold prices that we do not sell."""

    id: str
    customer: str | None
    user_id: UUID | None
    status: str
    price_ids: tuple[str, ...]
    current_period_end: datetime | None
    cancel_at_period_end: bool
    resumes_at: datetime | None

    def state(self, price_id: str, tier: int, pending_tier: int | None) -> State:
        return State(
            price_id,
            tier,
            self.status,
            self.current_period_end,
            self.resumes_at,
            self.cancel_at_period_end,
            pending_tier,
        )


def read_subscription(item: Json, *, is_deleted: bool = False) -> StripeSubscription:
    """Raises UnknownStatusError."""
    told = item.get("status")
    if not is_deleted and told not in STATUS:
        raise UnknownStatusError(f"unknown subscription status {told!r}")
    status = "cancelled" if is_deleted else STATUS[str(told)]
    pause = item.get("pause_collection")
    resumes_at = None
    if pause and status in ("active", "trialing"):
        status, resumes_at = "paused", moment(mapping(pause).get("resumes_at"))
    lines = [mapping(line) for line in mapping(item.get("items")).get("data") or ()]
    prices = [reference(line.get("price")) or reference(line.get("plan")) for line in lines]
    prices.append(reference(item.get("plan")))
    period_end = moment(item.get("current_period_end"))
    if period_end is None and lines:  # it lives on the items since 2025-03-31
        period_end = moment(lines[0].get("current_period_end"))
    return StripeSubscription(
        id=reference(item.get("id")) or "",
        customer=reference(item.get("customer")),
        user_id=first_uuid(mapping(item.get("metadata")).get("user_id")),
        status=status,
        price_ids=tuple(price for price in prices if price),
        current_period_end=period_end,
        cancel_at_period_end=bool(item.get("cancel_at_period_end")),
        resumes_at=resumes_at,
    )


def subscription_of_invoice(item: Json) -> str | None:
    """In the older and the newer place."""
    newer = mapping(mapping(item.get("parent")).get("subscription_details"))
    return reference(item.get("subscription")) or reference(newer.get("subscription"))


def user_of_invoice(item: Json) -> UUID | None:
    newer = mapping(mapping(item.get("parent")).get("subscription_details"))
    older = mapping(item.get("subscription_details"))
    return first_uuid(
        *(mapping(place.get("metadata")).get("user_id") for place in (item, newer, older))
    )
