"""Shapes of Stripe's objects, API version 2026-10-28; pure (docs.stripe.com/api)."""

from __future__ import annotations

import secrets
import time
from typing import Any

Json = dict[str, Any]

API_VERSION = "2026-10-28.endive"
DAY_SECONDS = 86_400
MONTH_SECONDS = 30 * DAY_SECONDS
YEAR_SECONDS = 365 * DAY_SECONDS
#: Life of a checkout session, in seconds (docs.stripe.com/api/checkout/sessions/object).
SESSION_SECONDS = DAY_SECONDS
#: What every price costs here, in cents: the stand-in knows no price list.
UNIT_AMOUNT = 999


def new_id(prefix: str) -> str:
    """An id of Stripe's form."""
    return f"{prefix}_{secrets.token_hex(12)}"


def base(kind: str, prefix: str) -> Json:
    """What every object has."""
    return {"id": new_id(prefix), "object": kind, "created": int(time.time()), "livemode": False}


def list_of(data: list[Json], url: str, has_more: bool = False) -> Json:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def price(price_id: str) -> Json:
    """The price behind any id; yearly when its id says so."""
    interval = "year" if "year" in price_id or "annual" in price_id else "month"
    return {
        "id": price_id,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "currency": "usd",
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "product": f"prod_{price_id.removeprefix('price_')}",
        "recurring": {"interval": interval, "interval_count": 1, "usage_type": "licensed"},
        "type": "recurring",
        "unit_amount": UNIT_AMOUNT,
    }


def item(subscription_id: str, price_id: str, quantity: int) -> Json:
    """A subscription item; periods live here since 2025-03-31."""
    made = price(price_id)
    length = YEAR_SECONDS if made["recurring"]["interval"] == "year" else MONTH_SECONDS
    start = int(time.time())
    return {
        "id": new_id("si"),
        "object": "subscription_item",
        "created": start,
        "current_period_start": start,
        "current_period_end": start + length,
        "metadata": {},
        "price": made,
        "quantity": quantity,
        "subscription": subscription_id,
    }


def subscription(customer_id: str, prices: list[tuple[str, int]], trial_days: int) -> Json:
    made = base("subscription", "sub")
    now = made["created"]
    items = [item(made["id"], price_id, quantity) for price_id, quantity in prices]
    trial_end = now + trial_days * DAY_SECONDS if trial_days else None
    for one in items:
        one["current_period_end"] = trial_end or one["current_period_end"]
    return made | {
        "customer": customer_id,
        "status": "trialing" if trial_days else "active",
        "billing_cycle_anchor": trial_end or now,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "collection_method": "charge_automatically",
        "currency": "usd",
        "default_payment_method": None,
        "ended_at": None,
        "items": list_of(items, f"/v1/subscription_items?subscription={made['id']}"),
        "latest_invoice": new_id("in"),
        "metadata": {},
        "pause_collection": None,
        "schedule": None,
        "start_date": now,
        "trial_start": now if trial_days else None,
        "trial_end": trial_end,
    }


def invoice(paid_for: Json, reason: str) -> Json:
    """The paid invoice of a subscription, in the shape since 2025-03-31."""
    is_trial = paid_for["status"] == "trialing"
    lines = paid_for["items"]["data"]
    amount = 0 if is_trial else sum(one["price"]["unit_amount"] * one["quantity"] for one in lines)
    return base("invoice", "in") | {
        "id": paid_for["latest_invoice"],
        "amount_due": amount,
        "amount_paid": amount,
        "billing_reason": reason,
        "currency": "usd",
        "customer": paid_for["customer"],
        "metadata": {},
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {
                "metadata": paid_for["metadata"],
                "subscription": paid_for["id"],
            },
        },
        "status": "paid",
    }


def event(kind: str, about: Json, previous: Json | None, request: Json) -> Json:
    """A snapshot event; `previous` are the old values of what changed."""
    data: Json = {"object": about}
    if previous:
        data["previous_attributes"] = previous
    return base("event", "evt") | {
        "api_version": API_VERSION,
        "data": data,
        "pending_webhooks": 1,
        "request": request,
        "type": kind,
    }
