"""The service with Stripe's own client against its stand-in: buttons, deliveries, reconciliation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from services.payments.app import build
from services.payments.effects import webhook_effects
from services.payments.reconcile import reconcile
from services.payments.settings import PaymentsSettings, PaymentsWorkerSettings
from shared.placement import Database
from shared.webhooks import WebhookProcessor
from tests.support.people import STRIPE_SECRET, People, Person, error_code
from tests.support.served_app import served
from tests.support.stand_in_process import StandIns
from tests.support.vendor_service import MANIFEST, until

# stripe's asynchronous httpx client passes `data=` where httpx wants `content=`
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

SUBSCRIPTION = "/api/payments/subscription"
KEY = {"Authorization": "Bearer sk_test_stand_in"}
CHECKOUT = "/api/payments/create-checkout-session"


def live(stand_ins: StandIns) -> dict[str, Any]:
    """Settings of a process that asks the stand-in as if it were Stripe."""
    return {
        "providers": "live",
        "stripe_secret_key": SecretStr("sk_test_stand_in"),
        "stripe_api_base": f"{stand_ins.url}/stripe",
    }


@pytest.fixture
async def client(
    web_settings: Callable[..., PaymentsSettings],
    stand_ins: StandIns,
    database: asyncpg.Connection,
) -> AsyncIterator[httpx.AsyncClient]:
    app = build(web_settings(**live(stand_ins)), MANIFEST)
    async with served(app) as client:
        sweeping = asyncio.create_task(sweep(app.state.database))
        yield client
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


async def sweep(database: Database) -> None:
    """What the worker does: deliveries that came while enough were under way wait for it."""
    processor = WebhookProcessor(database, webhook_effects())
    while True:
        await processor.sweep()
        await asyncio.sleep(0.2)


def deliver(stand_ins: StandIns, client: httpx.AsyncClient) -> None:
    """From now on the stand-in's deliveries come to the service."""
    stand_ins.direct("stripe", f"{client.base_url}/api/payments/webhook", STRIPE_SECRET)


async def pay(stand_ins: StandIns, person: Person, price_id: str = "price_pro") -> None:
    """What a person does on the provider's page."""
    answer = await person.post(CHECKOUT, json={"price_id": price_id})
    assert answer.status_code == 200, answer.text
    session_id = answer.json()["session_id"]
    async with httpx.AsyncClient(base_url=stand_ins.url) as browser:
        paid = await browser.post(f"/stripe/checkout/{session_id}/pay")
    assert paid.status_code == 303


def at_stripe(stand_ins: StandIns, path: str, **form: str) -> Any:
    """What the stand-in answers to the holder of the key; a form is posted."""
    address, method = f"{stand_ins.url}/stripe/v1/{path}", "POST" if form else "GET"
    return httpx.request(method, address, data=form or None, headers=KEY).json()


async def shown(person: Person) -> Any:
    return (await person.get(SUBSCRIPTION)).json()


async def kinds(database: asyncpg.Connection) -> list[str]:
    rows = await database.fetch(
        "SELECT DISTINCT type FROM outbox WHERE type LIKE 'subscription.%'"
        " AND type <> 'subscription.renewed' ORDER BY type"  # a new price begins a new period
    )
    return [row["type"] for row in rows]


async def test_a_purchase_and_every_change_of_it_go_through_the_client_of_stripe(
    client: httpx.AsyncClient, stand_ins: StandIns, database: asyncpg.Connection
) -> None:
    deliver(stand_ins, client)
    ana = await People(client, database).new()
    await pay(stand_ins, ana)

    async def state() -> tuple[Any, ...]:
        told = await shown(ana)
        return told["status"], told["tier"], told["provider"]

    await until(state, ("active", 1, "stripe"))
    assert (await shown(ana))["current_period_end"] is not None
    again = await ana.post(CHECKOUT, json={"price_id": "price_max"})
    assert error_code(again) == "SUBSCRIPTION_STATE"

    upgraded = await ana.post(f"{SUBSCRIPTION}/upgrade", json={"tier": 2})
    assert (upgraded.json()["tier"], upgraded.json()["price_id"]) == (2, "price_max")
    lowered = await ana.post(f"{SUBSCRIPTION}/downgrade", json={"tier": 1})
    assert (lowered.json()["tier"], lowered.json()["pending_tier"]) == (2, 1)
    soon = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    paused = await ana.post(f"{SUBSCRIPTION}/pause", json={"resumes_at": soon})
    assert (paused.json()["status"], paused.json()["tier"]) == ("paused", 0)

    async def applied() -> set[str]:
        done = "SELECT event_id FROM webhook_inbox WHERE status IN ('processed', 'ignored')"
        return {row["event_id"] for row in await database.fetch(done)}

    # Stripe's times are whole seconds: what is told late within one may show an older state till then.
    await until(
        applied, {event["id"] for event in at_stripe(stand_ins, "events?limit=100")["data"]}
    )
    assert await state() == ("paused", 0, "stripe")
    assert (await ana.post(f"{SUBSCRIPTION}/resume")).json()["status"] == "active"
    assert (await ana.post(f"{SUBSCRIPTION}/cancel")).json()["cancel_at_period_end"] is True
    portal = await ana.post("/api/payments/billing-portal")
    assert portal.json()["url"].startswith(f"{stand_ins.url}/stripe/portal/")
    ended = await ana.post(f"{SUBSCRIPTION}/cancel", json={"at_period_end": False})
    assert (ended.json()["status"], ended.json()["tier"]) == ("cancelled", 0)

    async def open_deliveries() -> int:
        return int(
            await database.fetchval(
                "SELECT count(*) FROM webhook_inbox WHERE status NOT IN ('processed', 'ignored')"
            )
        )

    await until(open_deliveries, 0)
    assert await state() == ("cancelled", 0, "stripe")
    assert await kinds(database) == [
        "subscription.cancelled",
        "subscription.created",
        "subscription.paused",
        "subscription.resumed",
        "subscription.upgraded",
    ]
    customers = at_stripe(stand_ins, "customers")["data"]
    assert [one["metadata"] for one in customers] == [{"user_id": ana.id}]


async def test_a_declined_card_changes_nothing(
    client: httpx.AsyncClient, stand_ins: StandIns, database: asyncpg.Connection
) -> None:
    people = People(client, database)
    ana = await people.new()
    await pay(stand_ins, ana)
    subscription = at_stripe(stand_ins, "subscriptions")["data"][0]
    await people.subscribe(ana.id, 1, provider_subscription_id=subscription["id"])
    customer = f"customers/{subscription['customer']}"
    at_stripe(stand_ins, customer, email="ana+declined@example.com")
    answer = await ana.post(f"{SUBSCRIPTION}/upgrade", json={"tier": 2})
    assert (answer.status_code, error_code(answer)) == (402, "PAYMENT_FAILED")
    assert answer.json()["error"]["details"]["decline_code"]
    assert (await shown(ana))["tier"] == 1


async def test_an_unreachable_stripe_is_a_failed_provider_and_no_lost_row(
    web_settings: Callable[..., PaymentsSettings], database: asyncpg.Connection
) -> None:
    settings = web_settings(
        providers="live",
        stripe_secret_key=SecretStr("sk_test_nobody"),
        stripe_api_base="http://127.0.0.1:9",
    )
    async with served(build(settings, MANIFEST)) as client:
        people = People(client, database)
        ana = await people.new(tier=1)
        answer = await ana.post(f"{SUBSCRIPTION}/cancel")
        assert (answer.status_code, error_code(answer)) == (504, "PROVIDER_TIMEOUT")
        assert answer.json()["error"]["details"] == {"provider_kind": "payment"}
        assert (await shown(ana))["cancel_at_period_end"] is False


async def test_the_reconciliation_finds_what_was_never_delivered_and_then_nothing(
    client: httpx.AsyncClient,
    stand_ins: StandIns,
    database: asyncpg.Connection,
    worker_settings: Callable[..., PaymentsWorkerSettings],
) -> None:
    ana = await People(client, database).new()
    await pay(stand_ins, ana)  # nobody listens to the stand-in
    assert (await shown(ana))["status"] == "none"
    settings = worker_settings(**live(stand_ins))
    found = await reconcile(settings, days=1)
    assert (found.subscriptions, found.problems) == (1, ())
    assert found.missed_events >= 3
    assert (await shown(ana))["tier"] == 1
    assert await database.fetchval("SELECT count(*) FROM payment_transactions") == 1
    events = await database.fetchval("SELECT count(*) FROM outbox")
    again = await reconcile(settings, days=1)
    assert (again.missed_events, again.repaired, again.problems) == (0, 0, ())
    assert await database.fetchval("SELECT count(*) FROM outbox") == events


async def test_the_reconciliation_repairs_state_and_names_what_a_person_must_look_at(
    client: httpx.AsyncClient,
    stand_ins: StandIns,
    database: asyncpg.Connection,
    worker_settings: Callable[..., PaymentsWorkerSettings],
) -> None:
    people = People(client, database)
    ana, ben = await people.new(), await people.new()
    await pay(stand_ins, ana)
    await pay(stand_ins, ben)
    stranger = await people.subscribe(ben.id, 2)
    settings = worker_settings(**live(stand_ins))
    await reconcile(settings, days=1)
    await database.execute(
        "UPDATE subscriptions SET status = 'past_due', provider_updated_at = now() - interval '1 h'"
        " WHERE user_id = $1",
        ana.id,
    )
    found = await reconcile(settings, days=1)
    assert found.repaired == 1
    assert (await shown(ana))["status"] == "active"
    assert [one for one, _ in found.problems] == [stranger]


async def test_the_stores_are_asked_about_what_is_open_here(
    client: httpx.AsyncClient,
    stand_ins: StandIns,
    database: asyncpg.Connection,
    worker_settings: Callable[..., PaymentsWorkerSettings],
) -> None:
    people = People(client, database)
    store = {"provider": "revenuecat", "price_id": "sx_pro_monthly"}
    ana, ben, eve = await people.new(), await people.new(), await people.new()
    for person in (ana, ben, eve):
        await people.subscribe(person.id, 1, **store)
    sold: list[dict[str, Any]] = [
        {"app_user_id": ana.id, "product_id": "sx_max_monthly"},
        {"app_user_id": ben.id, "product_id": "sx_pro_monthly", "type": "EXPIRATION"},
    ]
    async with httpx.AsyncClient(base_url=f"{stand_ins.url}/revenuecat") as seller:
        for event in sold:  # nobody listens to the stand-in
            (await seller.post("/_send", json=event)).raise_for_status()
    settings = worker_settings(
        **live(stand_ins),
        revenuecat_api_key=SecretStr("sk_stand_in"),
        revenuecat_base_url=f"{stand_ins.url}/revenuecat/v1",
    )
    found = await reconcile(settings, days=1)
    assert (found.repaired, [one for one, _ in found.problems]) == (2, [eve.id])
    states = [(await shown(one))["status"] for one in (ana, ben, eve)]
    assert states == ["active", "cancelled", "active"]
    assert (await shown(ana))["tier"] == 2
    assert await kinds(database) == ["subscription.cancelled", "subscription.upgraded"]
    assert (await reconcile(settings, days=1)).repaired == 0
