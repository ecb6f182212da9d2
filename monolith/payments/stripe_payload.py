"""Reads what Stripe sends, in its older and newer shapes; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from monolith.values import UUID_TEXT
from monolith.webhooks.inbox import unix_time

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
Json = Mapping[str, Any]


class UnknownStatusError(ValueError):
    """A status that is not in the table; the delivery fails and is looked at."""


@dataclass(frozen=True, slots=True)
class StripeState:
    """A subscription object, as far as we care."""

    id: str
    customer: str | None
    user_id: UUID | None
    status: str
    price_ids: tuple[str, ...]
    current_period_end: datetime | None
    cancel_at_period_end: bool
    resumes_at: datetime | None


def mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def reference(value: object) -> str | None:
    """An id, or the id of an expanded object."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def user_id_of(*candidates: object) -> UUID | None:
    for candidate in candidates:
        if isinstance(candidate, str) and UUID_TEXT.fullmatch(candidate):
            return UUID(candidate)
    return None


def subscription_state(item: Json, event_type: str) -> StripeState:
    """The state that a customer.subscription.* event carries."""
    told = item.get("status")
    if event_type.endswith(".deleted"):
        status = "cancelled"
    elif told in STATUS:
        status = STATUS[told]
    else:
        raise UnknownStatusError(f"unknown subscription status {told!r}")
    pause = item.get("pause_collection")
    resumes_at = None
    if pause and status in {"active", "trialing"}:
        status = "paused"
        resumes_at = unix_time(mapping(pause).get("resumes_at"))
    rows = [mapping(row) for row in mapping(item.get("items")).get("data") or ()]
    price_ids = [reference(row.get("price")) or reference(row.get("plan")) for row in rows]
    price_ids.append(reference(item.get("plan")))
    end = unix_time(item.get("current_period_end"))
    if end is None and rows:
        end = unix_time(rows[0].get("current_period_end"))
    return StripeState(
        id=reference(item.get("id")) or "",
        customer=reference(item.get("customer")),
        user_id=user_id_of(mapping(item.get("metadata")).get("user_id")),
        status=status,
        price_ids=tuple(price for price in price_ids if price),
        current_period_end=end,
        cancel_at_period_end=bool(item.get("cancel_at_period_end")),
        resumes_at=resumes_at,
    )


def invoice_subscription(item: Json) -> str | None:
    """The subscription of an invoice, in the older and the newer place."""
    details = mapping(mapping(item.get("parent")).get("subscription_details"))
    return reference(item.get("subscription")) or reference(details.get("subscription"))


def invoice_user(item: Json) -> UUID | None:
    newer = mapping(mapping(item.get("parent")).get("subscription_details"))
    older = mapping(item.get("subscription_details"))
    return user_id_of(
        mapping(item.get("metadata")).get("user_id"),
        mapping(newer.get("metadata")).get("user_id"),
        mapping(older.get("metadata")).get("user_id"),
    )
