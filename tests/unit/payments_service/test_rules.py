"""States, actions and events of subscriptions, and what Stripe's objects say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.payments.models import Held, State
from services.payments.revenuecat_effects import paid
from services.payments.rules import ALLOWED, allowed_actions, event_of, is_stale, require_allowed
from services.payments.store_books import read_subscriber
from services.payments.stripe_payload import (
    UnknownStatusError,
    read_subscription,
    subscription_of_invoice,
    user_of_invoice,
)
from shared.errors import CallerError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USER = "0b8e0ad6-6c1d-4f3a-9f0e-6f2d6a1c7f10"
OPEN = State("price_pro", 1, "active", NOW)


def held(state: State = OPEN, provider: str = "stripe") -> Held:
    return Held(uuid4(), UUID(USER), provider, "sub_1", state, 1, NOW, NOW)


@pytest.mark.parametrize("status", [name for name in ALLOWED if name not in ("none", "ending")])
def test_a_store_manages_its_open_subscriptions_itself(status: str) -> None:
    ours, theirs = held(OPEN.but(status=status)), held(OPEN.but(status=status), "revenuecat")
    assert allowed_actions(ours) == ALLOWED[status]
    assert allowed_actions(theirs) == (ALLOWED[status] if status == "cancelled" else ())


def test_a_pending_cancellation_can_be_taken_back_but_not_paused() -> None:
    ending = held(OPEN.but(cancel_at_period_end=True))
    assert "resume" in allowed_actions(ending)
    with pytest.raises(CallerError) as caught:
        require_allowed(ending, "pause", 1)
    assert caught.value.details == {
        "status": "active",
        "tier": 1,
        "managed_by": "stripe",
        "allowed": ["upgrade", "downgrade", "cancel", "resume", "portal"],
    }


@pytest.mark.parametrize(
    ("changes", "event"),
    [
        ({"status": "cancelled", "tier": 2}, "subscription.cancelled"),
        ({"status": "paused", "tier": 2}, "subscription.paused"),
        ({"tier": 2}, "subscription.upgraded"),
        ({"current_period_end": NOW + timedelta(days=30)}, "subscription.renewed"),
        ({"current_period_end": NOW - timedelta(days=1)}, None),
        ({"cancel_at_period_end": True}, None),
        ({"status": "past_due"}, None),
    ],
)
def test_the_first_event_that_fits_a_change_is_published(
    changes: dict[str, Any], event: str | None
) -> None:
    assert event_of(OPEN, OPEN.but(**changes)) == event


def test_the_way_back_has_events_of_its_own() -> None:
    paused, big = OPEN.but(status="paused"), OPEN.but(tier=2)
    assert event_of(None, OPEN) == "subscription.created"
    assert event_of(paused, OPEN) == "subscription.resumed"
    assert event_of(big, OPEN) == "subscription.downgraded"
    statuses = ("active", "trialing", "past_due", "unpaid", "paused", "cancelled")
    for status, event in product(statuses, (True, False)):
        same = OPEN.but(status=status, cancel_at_period_end=event)
        assert event_of(same, same) is None


def test_older_state_is_stale_and_the_same_second_does_not_revive() -> None:
    live, over = held(), held(OPEN.but(status="cancelled"))
    second = timedelta(seconds=1)
    assert is_stale(live, NOW - second, "active")
    assert not is_stale(live, NOW, "active")
    assert is_stale(over, NOW, "active")
    assert not is_stale(over, NOW, "cancelled")
    assert not is_stale(over, NOW + second, "active")


def item(**changes: Any) -> dict[str, Any]:
    line = {"price": {"id": "price_pro"}, "current_period_end": 2_000_000_000}
    base = {"id": "sub_1", "customer": "cus_1", "status": "active", "items": {"data": [line]}}
    return {**base, "metadata": {"user_id": USER}, **changes}


def test_a_subscription_is_read_in_its_older_and_newer_shape() -> None:
    newer = read_subscription(item())
    older = read_subscription(
        item(
            current_period_end=2_000_000_000,
            items=None,
            plan={"id": "price_pro"},
            customer={"id": "cus_1", "object": "customer"},
        )
    )
    assert newer == older
    assert (newer.user_id, newer.price_ids) == (UUID(USER), ("price_pro",))
    assert newer.current_period_end == datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "incomplete"}, "unpaid"),
        ({"status": "incomplete_expired"}, "cancelled"),
        ({"status": "canceled"}, "cancelled"),
        ({"pause_collection": {"behavior": "void", "resumes_at": 2_000_000_000}}, "paused"),
        ({"pause_collection": {"behavior": "void"}, "status": "past_due"}, "past_due"),
    ],
)
def test_the_words_of_stripe_become_ours(changes: dict[str, Any], status: str) -> None:
    assert read_subscription(item(**changes)).status == status
    assert read_subscription(item(**changes), is_deleted=True).status == "cancelled"


def test_an_unknown_word_is_no_state() -> None:
    with pytest.raises(UnknownStatusError):
        read_subscription(item(status="dancing"))


def test_an_invoice_names_its_subscription_and_user_in_either_place() -> None:
    details = {"subscription": "sub_1", "metadata": {"user_id": USER}}
    newer = {"id": "in_1", "parent": {"subscription_details": details}}
    older = {"id": "in_1", "subscription": {"id": "sub_1"}, "subscription_details": details}
    for invoice in (newer, older):
        assert subscription_of_invoice(invoice) == "sub_1"
        assert user_of_invoice(invoice) == UUID(USER)


@pytest.mark.parametrize(
    ("price", "currency", "amount"),
    [(19.99, "USD", 1999), (500, "JPY", 500), (1.234, "KWD", 1234), (0, "USD", None)],
)
def test_money_is_kept_in_the_minor_units_of_its_currency(
    price: float, currency: str, amount: int | None
) -> None:
    event = {
        "price_in_purchased_currency": price,
        "currency": currency,
        "transaction_id": "t_1",
    }
    found = paid(event, NOW)
    assert (found.amount if found is not None else None) == amount


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"expires_date": "2026-02-01T00:00:00Z"}, "active"),
        ({"expires_date": "2026-02-01T00:00:00Z", "period_type": "trial"}, "trialing"),
        ({"expires_date": "2026-02-01T00:00:00Z", "billing_issues_detected_at": "x"}, "past_due"),
        ({"expires_date": "2026-02-01T00:00:00Z", "refunded_at": "2026-01-01"}, "cancelled"),
        ({"expires_date": "2025-12-31T00:00:00Z"}, "cancelled"),
        (
            {
                "expires_date": "2025-12-31T00:00:00Z",
                "grace_period_expires_date": "2026-01-05T00:00:00Z",
                "billing_issues_detected_at": "2025-12-31T00:00:00Z",
            },
            "past_due",
        ),
    ],
)
def test_a_subscriber_of_the_stores_has_the_state_of_the_longest_product(
    told: dict[str, Any], status: str
) -> None:
    ended = {"expires_date": "2024-01-01T00:00:00Z"}
    found = read_subscriber({"old": ended, "new": told, "lifetime": {"expires_date": None}}, NOW)
    assert found is not None
    assert (found.product_id, found.status) == ("new", status)
    assert read_subscriber({}, NOW) is None
