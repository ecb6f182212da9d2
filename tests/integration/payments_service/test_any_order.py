"""Deliveries of one story in every order, some twice: the end is the same, and so are the events."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import asyncpg
import httpx
import pytest

from services.payments.effects import webhook_effects
from services.payments.settings import PaymentsSettings
from shared.placement.service import open_service_database
from shared.webhooks import WebhookProcessor
from tests.support.people import People
from tests.support.vendor_service import MANIFEST

START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_END = 2_000_000_000


@pytest.fixture
async def processor(
    web_settings: Callable[..., PaymentsSettings], database: asyncpg.Connection
) -> AsyncIterator[WebhookProcessor]:
    async with open_service_database("payments", web_settings(), MANIFEST) as opened:
        yield WebhookProcessor(opened, webhook_effects())


def stripe_story(user_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Bought, paid, upgraded, paused, resumed, ended: the customer is known by the checkout alone."""

    def subscription(price: str, status: str = "active", **more: Any) -> dict[str, Any]:
        line = {"price": {"id": price}, "current_period_end": PERIOD_END}
        base = {"id": "sub_1", "customer": "cus_1", "status": status}
        return {**base, "items": {"data": [line]}, **more}

    bought = {"customer": "cus_1", "client_reference_id": user_id, "metadata": {}}
    paid = {"id": "in_1", "customer": "cus_1", "amount_paid": 999, "currency": "usd"}
    return [
        ("checkout.session.completed", bought),
        ("customer.subscription.created", subscription("price_pro")),
        ("invoice.paid", paid),
        ("customer.subscription.updated", subscription("price_max")),
        ("customer.subscription.deleted", subscription("price_max", "canceled")),
    ]


def store_story(user_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Bought, changed and ended in an app store."""
    base = {"app_user_id": user_id, "expiration_at_ms": PERIOD_END * 1000}
    pro, best = {"product_id": "sx_pro_monthly"}, {"product_id": "sx_max_monthly"}
    money = {"price_in_purchased_currency": 9.99, "currency": "USD", "transaction_id": "t_1"}
    return [
        ("INITIAL_PURCHASE", {**base, **pro, **money}),
        ("CANCELLATION", {**base, **pro}),
        ("UNCANCELLATION", {**base, **best}),
        ("EXPIRATION", {**base, **best}),
    ]


async def play(
    database: asyncpg.Connection,
    processor: WebhookProcessor,
    provider: str,
    story: list[tuple[str, dict[str, Any]]],
    order: tuple[int, ...],
) -> tuple[Any, ...]:
    """Deliver a story in an order, then let the worker try what waits; returns how it ended."""
    for number in order:
        kind, item = story[number]
        body: dict[str, Any] = {"data": {"object": item}, "event": item, "type": kind}
        await database.execute(
            "INSERT INTO webhook_inbox (provider, event_id, event_type, raw, received_by,"
            " provider_created_at) VALUES ($1, $2, $3, $4, 'service', $5)",
            provider,
            f"evt_{number}",
            kind,
            json.dumps(body).encode(),
            START + timedelta(minutes=number),
        )
        await processor.process(provider, f"evt_{number}")
        again = random.Random(number).choice(order[: order.index(number) + 1])
        await processor.process(provider, f"evt_{again}")
    for _ in range(2):
        await database.execute("UPDATE webhook_inbox SET received_at = now() - interval '1 hour'")
        await processor.sweep()
    left = await database.fetch("SELECT DISTINCT status FROM webhook_inbox")
    row = await database.fetchrow("SELECT status, tier, price_id FROM subscriptions")
    money = await database.fetchval("SELECT count(*) FROM payment_transactions")
    return [one["status"] for one in left], row and tuple(row), money


async def forget(database: asyncpg.Connection) -> list[str]:
    """What was published, and a clean slate."""
    kinds = [row["type"] for row in await database.fetch("SELECT type FROM outbox ORDER BY id")]
    for table in (
        "subscriptions",
        "billing_customers",
        "payment_transactions",
        "webhook_inbox",
        "outbox",
    ):
        await database.execute(f"DELETE FROM {table}")
    return kinds


async def test_stripe_in_every_order_ends_the_same(
    database: asyncpg.Connection, processor: WebhookProcessor
) -> None:
    ana = await People(httpx.AsyncClient(), database).new()
    orders = random.Random(7).sample(list(permutations(range(5))), 30)
    for order in [tuple(range(5)), *orders]:
        ended = await play(database, processor, "stripe", stripe_story(ana.id), order)
        assert ended == (["processed"], ("cancelled", 2, "price_max"), 1), order
        kinds = await forget(database)
        assert kinds.count("payment.succeeded") == 1, order
        assert kinds.count("subscription.created") == 1, order
        assert kinds.count("subscription.cancelled") <= 1, order


async def test_the_stores_in_every_order_end_the_same(
    database: asyncpg.Connection, processor: WebhookProcessor
) -> None:
    ana = await People(httpx.AsyncClient(), database).new()
    for order in permutations(range(4)):
        statuses, row, money = await play(
            database, processor, "revenuecat", store_story(ana.id), order
        )
        assert (statuses, money) == (["processed"], 1), order
        assert row is not None
        assert row[0] == "cancelled", order
        kinds = await forget(database)
        assert kinds.count("subscription.created") == 1, order
