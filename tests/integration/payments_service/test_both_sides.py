"""The old API and the service on the same subscriptions at the same time."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from monolith.app import build_app
from monolith.settings import Settings
from monolith.webhooks.desk import WebhookDesk
from monolith.worker import Worker
from services.payments.app import build
from services.payments.effects import webhook_effects
from services.payments.settings import PaymentsSettings
from shared.placement.service import open_service_database
from shared.webhooks import WebhookProcessor
from tests.support.people import SECRET, People, Person
from tests.support.served_app import served
from tests.support.vendor_service import MANIFEST

SUBSCRIPTION = "/api/payments/subscription"


@asynccontextmanager
async def old_api(dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(Settings(database_url=dsn, jwt_secrets=(SECRET,), rate_limits={}))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://old") as client:
            yield client


@pytest.fixture
async def sides(
    dsn: str, web_settings: Callable[..., PaymentsSettings], database: asyncpg.Connection
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    async with old_api(dsn) as old, served(build(web_settings(), MANIFEST)) as new:
        yield old, new


async def counted(database: asyncpg.Connection) -> dict[str, int]:
    rows = await database.fetch("SELECT type, count(*) AS n FROM outbox GROUP BY type")
    return {row["type"]: row["n"] for row in rows}


async def test_one_button_pressed_at_both_apps_changes_a_subscription_once(
    sides: tuple[httpx.AsyncClient, httpx.AsyncClient], database: asyncpg.Connection
) -> None:
    people = People(sides[0], database)
    ana = await people.new(tier=1)
    twins = [Person(ana.id, ana.email, side, ana.headers) for side in sides]
    answers = await asyncio.gather(
        *(one.post(f"{SUBSCRIPTION}/upgrade", json={"tier": 2}) for one in twins for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    assert await counted(database) == {"subscription.upgraded": 1}
    shown = [(await one.get(SUBSCRIPTION)).json() for one in twins]
    assert shown[0] == shown[1]
    paused = await twins[1].post(f"{SUBSCRIPTION}/pause")
    assert (paused.json()["status"], paused.json()["tier"]) == ("paused", 0)
    assert (await twins[0].post(f"{SUBSCRIPTION}/resume")).json()["status"] == "active"


async def test_a_promo_code_is_used_once_whichever_app_is_asked(
    sides: tuple[httpx.AsyncClient, httpx.AsyncClient], database: asyncpg.Connection
) -> None:
    await database.execute(
        "INSERT INTO promo_codes (code, kind, quota_type, bonus_amount)"
        " VALUES ('GIFT', 'quota_bonus', 'chat', 3)"
    )
    ana = await People(sides[0], database).new()
    twins = [Person(ana.id, ana.email, side, ana.headers) for side in sides]
    path = "/api/payments/promo-codes/redeem"
    answers = await asyncio.gather(
        *(one.post(path, json={"code": "gift"}) for one in twins for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    quotas = [(await one.get("/api/payments/quotas")).json() for one in twins]
    assert quotas[0] == quotas[1]
    assert quotas[0]["quotas"]["chat"]["bonus"] == 3
    plans = [(await side.get("/api/payments/plans")).json() for side in sides]
    assert plans[0] == plans[1]


async def test_a_key_of_one_app_replays_in_the_other(
    sides: tuple[httpx.AsyncClient, httpx.AsyncClient], database: asyncpg.Connection
) -> None:
    ana = await People(sides[0], database).new(tier=1)
    twins = [Person(ana.id, ana.email, side, ana.headers) for side in sides]
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = await twins[0].post(f"{SUBSCRIPTION}/cancel", headers=key)
    again = await twins[1].post(f"{SUBSCRIPTION}/cancel", headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


async def test_deliveries_that_both_apps_claim_are_applied_by_state_and_once(
    dsn: str,
    web_settings: Callable[..., PaymentsSettings],
    database: asyncpg.Connection,
    sides: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    ana = await People(sides[0], database).new()
    old = Worker(Settings(database_url=dsn, jwt_secrets=(SECRET,)))
    ids = await _store_life_of_a_subscription(database, ana.id)
    async with (
        old.opened(),
        open_service_database("payments", web_settings(), MANIFEST) as opened,
    ):
        processor = WebhookProcessor(opened, webhook_effects())
        desk = old.context.part(WebhookDesk)
        for event_id in reversed(ids):  # the newest state comes first
            await asyncio.gather(
                processor.process("stripe", event_id), desk.apply(old.context, "stripe", event_id)
            )
    statuses = await database.fetch("SELECT DISTINCT status FROM webhook_inbox")
    assert [row["status"] for row in statuses] == ["processed"]
    shown = (await ana.get(SUBSCRIPTION)).json()
    assert (shown["status"], shown["price_id"], shown["tier"]) == ("active", "price_max", 2)
    assert await counted(database) == {"subscription.created": 1, "payment.succeeded": 1}


async def _store_life_of_a_subscription(database: asyncpg.Connection, user_id: str) -> list[str]:
    """Created, upgraded, paid: received by one app or the other, not applied yet."""

    def subscription(price_id: str) -> dict[str, Any]:
        return {
            "id": "sub_1",
            "customer": "cus_1",
            "status": "active",
            "metadata": {"user_id": user_id},
            "items": {"data": [{"price": {"id": price_id}, "current_period_end": 2_000_000_000}]},
        }

    paid = {"id": "in_1", "customer": "cus_1", "amount_paid": 999, "currency": "usd"}
    paid["parent"] = {"subscription_details": {"metadata": {"user_id": user_id}}}
    told = [
        ("customer.subscription.created", subscription("price_pro")),
        ("customer.subscription.updated", subscription("price_max")),
        ("invoice.paid", paid),
        ("invoice.payment_succeeded", paid),
    ]
    ids = []
    for number, (kind, item) in enumerate(told):
        ids.append(f"evt_{number}")
        await database.execute(
            "INSERT INTO webhook_inbox (provider, event_id, event_type, raw, received_by,"
            " provider_created_at) VALUES ('stripe', $1, $2, $3, $4, now() - make_interval(secs => $5))",
            ids[-1],
            kind,
            json.dumps({"id": ids[-1], "type": kind, "data": {"object": item}}).encode(),
            "service" if number % 2 else "monolith",
            100 - number,
        )
    return ids
