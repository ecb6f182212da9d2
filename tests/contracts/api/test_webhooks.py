"""Deliveries of providers: stored once, applied by state, tried again."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import asyncpg
import httpx
import pytest

from tests.contracts.api.conftest import MODES_SECONDS, SetMode
from tests.contracts.api.deliveries import (
    CLERK,
    REVENUECAT,
    STRIPE,
    SUPABASE,
    Stripe,
    kinds,
    received_by,
    status_of,
)
from tests.contracts.api.effects import Workers
from tests.contracts.api.sides import Side, once
from tests.support.people import (
    People,
    as_bytes,
    error_code,
    stripe_headers,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")


@pytest.fixture
def stripe(client: httpx.AsyncClient, database: asyncpg.Connection) -> Stripe:
    return Stripe(client, database)


async def test_a_delivery_is_stored_once_and_answered_twice(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    body = as_bytes({"id": "evt_1", "type": "something.new", "livemode": False, "created": 1})
    first = await client.post(STRIPE, content=body, headers=stripe_headers(body))
    again = await client.post(STRIPE, content=body, headers=stripe_headers(body))
    assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, True)
    assert await status_of(database, "evt_1", "ignored") == "ignored"
    row = await database.fetchrow("SELECT * FROM webhook_inbox")
    assert row["raw"] == body


async def test_a_bad_signature_or_mode_is_refused_and_nothing_is_stored(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    body = as_bytes({"id": "evt_1", "type": "x", "livemode": False})
    live = as_bytes({"id": "evt_2", "type": "x", "livemode": True})
    old = int(time.time()) - 301
    for content, headers in (
        (body, {}),
        (body, stripe_headers(body, secret="whsec_other")),
        (body + b" ", stripe_headers(body)),
        (body, stripe_headers(body, at=old)),
        (live, stripe_headers(live)),
    ):
        answer = await client.post(STRIPE, content=content, headers=headers)
        assert (answer.status_code, error_code(answer)) == (400, "SIGNATURE_INVALID")
    for path in (REVENUECAT, SUPABASE, CLERK):
        answer = await client.post(path, content=body)
        assert error_code(answer) == "SIGNATURE_INVALID"
    assert await database.fetchval("SELECT count(*) FROM webhook_inbox") == 0
    large = b"x" * (1024 * 1024 + 1)
    assert (await client.post(STRIPE, content=large)).status_code == 413


async def test_a_subscription_of_an_unknown_customer_waits_for_its_checkout(
    people: People, stripe: Stripe, database: asyncpg.Connection, events: Workers
) -> None:
    ana = await people.new()
    await stripe.subscription_event("created", "deferred")
    assert (await ana.get("/api/payments/subscription")).json()["status"] == "none"
    await stripe.tie(ana.id)
    await database.execute("UPDATE webhook_inbox SET received_at = now() - interval '1 minute'")
    async with asyncio.timeout(10):
        while (await ana.get("/api/payments/subscription")).json()["status"] != "active":
            await events.run("webhooks")
            await asyncio.sleep(0.05)
    assert await kinds(database) == ["subscription.created"]


async def test_the_life_of_a_subscription_is_told_by_comparing_states(
    people: People, stripe: Stripe, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await stripe.tie(ana.id)
    pro, max_ = ({"data": [{"price": {"id": p}}]} for p in ("price_pro", "price_max"))
    steps: list[tuple[str, dict[str, Any]]] = [
        ("created", {"items": pro}),
        ("updated", {"items": pro, "cancel_at_period_end": True}),
        ("updated", {"items": max_}),
        ("updated", {"items": max_, "pause_collection": {"behavior": "void"}}),
        ("updated", {"items": max_}),
        ("updated", {"items": pro}),
        ("updated", {"items": pro, "current_period_end": stripe.now + 5000}),
        ("updated", {"items": pro, "current_period_end": stripe.now + 5000, "status": "past_due"}),
        ("deleted", {"items": pro, "current_period_end": stripe.now + 5000}),
    ]
    end = stripe.now + 1000
    for kind, item in steps:
        stripe.now += 1
        await stripe.subscription_event(kind, **{"current_period_end": end, **item})
    assert await kinds(database) == [
        "subscription.created",
        "subscription.upgraded",
        "subscription.paused",
        "subscription.resumed",
        "subscription.downgraded",
        "subscription.renewed",
        "subscription.cancelled",
    ]
    versions = await database.fetch(
        "SELECT (body #>> '{data,subscription_version}')::int AS v FROM outbox ORDER BY id"
    )
    assert [row["v"] for row in versions] == [1, 3, 4, 5, 6, 7, 9]


async def test_late_state_changes_nothing(
    people: People, stripe: Stripe, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await stripe.tie(ana.id)
    await stripe.subscription_event("created")
    stripe.now += 50
    await stripe.subscription_event("deleted")
    stripe.now -= 20
    await stripe.subscription_event("updated")
    assert (await ana.get("/api/payments/subscription")).json()["status"] == "cancelled"
    assert await kinds(database) == ["subscription.created", "subscription.cancelled"]


async def test_an_unknown_price_fails_and_touches_no_tier(
    people: People, stripe: Stripe, database: asyncpg.Connection, events: Workers
) -> None:
    ana = await people.new()
    await stripe.tie(ana.id)
    await stripe.subscription_event("created")
    stripe.now += 1
    unknown = {"data": [{"price": {"id": "price_new"}}]}
    await stripe.subscription_event("updated", "failed", items=unknown)
    assert (await ana.get("/api/payments/subscription")).json()["tier"] == 1
    await database.execute(
        "INSERT INTO plan_prices VALUES ('price_new', 'stripe', 2, 1, 'usd', 'month', true)"
    )
    await database.execute("UPDATE webhook_inbox SET received_at = now() - interval '1 minute'")
    await events.run("webhooks")
    await ana.get("/api/payments/subscription")
    assert (await ana.get("/api/payments/subscription")).json()["tier"] == 2
    await database.execute("DELETE FROM subscriptions")
    await database.execute("DELETE FROM plan_prices WHERE price_id = 'price_new'")


async def test_invoices_and_refunds_are_booked_once(
    people: People, stripe: Stripe, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await stripe.tie(ana.id)
    invoice = {"id": "in_1", "customer": stripe.customer, "amount_paid": 999, "currency": "usd"}
    for kind in ("invoice.payment_succeeded", "invoice.paid"):
        await status_of(database, await stripe.send(kind, invoice), "processed")
    failed = {"id": "in_2", "customer": stripe.customer, "amount_due": 999, "currency": "usd"}
    await status_of(database, await stripe.send("invoice.payment_failed", failed), "processed")
    for refunded in (100, 100, 300):
        charge = {
            "id": "ch_1",
            "customer": stripe.customer,
            "amount_refunded": refunded,
            "currency": "usd",
        }
        await status_of(database, await stripe.send("charge.refunded", charge), "processed")
    rows = await database.fetch("SELECT kind, amount FROM payment_transactions ORDER BY kind")
    assert [tuple(row) for row in rows] == [("failure", 999), ("payment", 999), ("refund", 300)]
    assert await kinds(database) == [
        "payment.succeeded",
        "payment.failed",
        "payment.refunded",
        "payment.refunded",
    ]


async def test_a_discount_counts_as_used_when_its_checkout_completes(
    people: People, stripe: Stripe, database: asyncpg.Connection
) -> None:
    await database.execute(
        "INSERT INTO promo_codes (code, kind, percent_off) VALUES ('OFF', 'discount', 10)"
    )
    ana = await people.new()
    await stripe.tie(ana.id, promo_code="OFF")
    assert await database.fetchval("SELECT redeemed_count FROM promo_codes") == 1
    answer = await ana.post("/api/payments/promo-codes/redeem", json={"code": "OFF"})
    assert error_code(answer) == "PROMO_ALREADY_USED"


async def test_the_stores_open_change_and_end_a_subscription(
    client: httpx.AsyncClient, people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    now = int(time.time() * 1000) - 100_000

    async def send(kind: str, shift: int, *wanted: str, **more: Any) -> dict[str, Any]:
        event = {
            "id": str(uuid.uuid4()),
            "type": kind,
            "app_user_id": ana.id,
            "product_id": "sx_pro_monthly",
            "expiration_at_ms": now + 1_000_000,
            "event_timestamp_ms": now + shift,
            **more,
        }
        body = as_bytes({"api_version": "1.0", "event": event})
        headers = {"Authorization": "revenue-cat-value"}
        answer = await client.post(REVENUECAT, content=body, headers=headers)
        assert answer.status_code == 200
        await status_of(database, event["id"], *(wanted or ("processed",)))
        shown: dict[str, Any] = (await ana.get("/api/payments/subscription")).json()
        return shown

    bought = await send("INITIAL_PURCHASE", 0)
    assert (bought["status"], bought["tier"], bought["provider"]) == ("active", 1, "revenuecat")
    assert (await send("CANCELLATION", 1))["cancel_at_period_end"] is True
    assert (await send("UNCANCELLATION", 2))["cancel_at_period_end"] is False
    assert (await send("PRODUCT_CHANGE", 3, new_product_id="sx_max_monthly"))["tier"] == 2
    assert (await send("BILLING_ISSUE", 4))["status"] == "past_due"
    assert (await send("SUBSCRIPTION_PAUSED", 5))["status"] == "past_due"
    renewed = await send(
        "RENEWAL",
        6,
        product_id="sx_max_monthly",
        price_in_purchased_currency=19.99,
        currency="USD",
        transaction_id="t-1",
    )
    assert renewed["status"] == "active"
    assert (await send("RENEWAL", 2))["tier"] == 2  # late
    assert (await send("EXPIRATION", 7))["status"] == "cancelled"
    await send("TEST", 8, "ignored")
    await send("RENEWAL", 9, "failed", product_id="unknown")
    stranger = str(uuid.uuid4())
    await send("INITIAL_PURCHASE", 9, "deferred", app_user_id=stranger)
    assert await kinds(database) == [
        "subscription.created",
        "subscription.upgraded",
        "payment.succeeded",
        "subscription.cancelled",
    ]
    assert await database.fetchval("SELECT amount FROM payment_transactions") == 1999


async def test_effects_wait_for_the_end_of_maintenance(
    side: Side, database: asyncpg.Connection, maintenance: SetMode
) -> None:
    await maintenance("payments", "full")
    async with side.running() as apps, side.workers(apps.url) as workers:
        await once(apps.client, "/api/payments/plans", 503)
        ana = await People(apps.client, database).new()
        stripe = Stripe(apps.client, database)
        item = {"customer": stripe.customer, "client_reference_id": ana.id, "metadata": {}}
        event = await stripe.send("checkout.session.completed", item)
        await workers.run("webhooks")
        assert await status_of(database, event, "received", "processed") == "received"
        await maintenance("payments", "off")
        await asyncio.sleep(MODES_SECONDS)
        await workers.run("webhooks")
        assert await status_of(database, event, "processed") == "processed"


async def test_the_same_delivery_claimed_twice_has_one_effect(
    people: People, stripe: Stripe, database: asyncpg.Connection, events: Workers
) -> None:
    ana = await people.new()
    await stripe.tie(ana.id)
    body = json.dumps(
        {
            "id": "evt_x",
            "data": {
                "object": {
                    "id": "in_9",
                    "customer": stripe.customer,
                    "amount_paid": 1,
                    "currency": "usd",
                }
            },
        }
    ).encode()
    await database.execute(
        "INSERT INTO webhook_inbox (provider, event_id, event_type, raw, received_by, received_at)"
        " VALUES ('stripe', 'evt_x', 'invoice.paid', $1, $2, now() - interval '2 minutes')",
        body,
        await received_by(database),
    )
    await asyncio.gather(*(events.run("webhooks") for _ in range(4)))
    assert await kinds(database) == ["payment.succeeded"]
