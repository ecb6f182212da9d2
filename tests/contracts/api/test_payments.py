"""Plans, quotas, subscriptions, promo codes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from tests.contracts.api.effects import Workers
from tests.support.people import People, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")

SUBSCRIPTION = "/api/payments/subscription"


async def published(database: asyncpg.Connection, kind: str) -> list[dict[str, Any]]:
    import json

    rows = await database.fetch("SELECT body FROM outbox WHERE type = $1 ORDER BY id", kind)
    return [json.loads(row["body"])["data"] for row in rows]


async def test_the_plans_are_free_and_the_active_stripe_prices(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/payments/plans")
    assert answer.headers["cache-control"] == "public, max-age=300"
    plans = answer.json()["plans"]
    assert [(p["tier"], p["name"], p["price_id"], p["amount"], p["interval"]) for p in plans] == [
        (0, "free", None, 0, None),
        (1, "pro", "price_pro", 999, "month"),
        (2, "max", "price_max", 1999, "month"),
    ]
    assert [p["context_tokens"] for p in plans] == [12000, 64000, 64000]
    assert plans[0]["quotas"]["chat"] == 5
    assert plans[1]["quotas"] == {
        "chat": -1,
        "premium_model": 100,
        "image_generation": 5,
        "image_recognition": 10,
        "video": 120,
        "story": 30,
    }


async def test_quotas_show_what_is_left_and_write_nothing(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    quotas = (await ana.get("/api/payments/quotas")).json()
    assert (quotas["tier"], quotas["quota"], quotas["quota_premium_model"]) == (0, 5, 0)
    assert quotas["quotas"]["chat"]["limit"] == 5
    assert quotas["last_reset"].endswith("T00:00:00.000Z")
    assert await database.fetchval("SELECT count(*) FROM user_quotas") == 0
    reply = await ana.talk("hello")
    quotas = (await ana.get("/api/payments/quotas")).json()
    assert (quotas["quota"], quotas["tokens_used"]) == (4, reply["tokens"])
    await people.subscribe(ana.id, 2)
    quotas = (await ana.get("/api/payments/quotas")).json()
    assert quotas["quotas"]["chat"]["unlimited"] is True
    assert (quotas["quota"], quotas["quotas"]["chat"]["limit"]) == (-1, -1)
    assert quotas["quotas"]["chat"]["used"] == 0  # max counts by the month, free by the day


async def test_checkout_leads_to_the_provider_with_one_customer_ever(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    path = "/api/payments/create-checkout-session"
    answers = await asyncio.gather(
        *(ana.post(path, json={"price_id": "price_pro"}) for _ in range(3))
    )
    for answer in answers:
        body = answer.json()
        assert body["checkout_url"].startswith("https://payments.reference.invalid/")
        assert body["session_id"].startswith("cs_ref_")
        assert body["expires_at"] > datetime.now(UTC).isoformat()
    rows = await database.fetch("SELECT customer_id FROM billing_customers")
    assert [row["customer_id"] for row in rows] == [f"cus_ref_{ana.id}"]
    await people.subscribe(ana.id, 1)
    refused = await ana.post(path, json={"price_id": "price_pro"})
    assert (refused.status_code, error_code(refused)) == (409, "SUBSCRIPTION_STATE")
    assert refused.json()["error"]["details"]["allowed"] == [
        "upgrade",
        "downgrade",
        "cancel",
        "pause",
        "portal",
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"price_id": "sx_pro_monthly"}, "body.price_id"),
        ({"price_id": "none"}, "body.price_id"),
        ({"success_url": "http://app.example.com/x"}, "body.success_url"),
        ({"success_url": "https://evil.example/x"}, "body.success_url"),
        ({"cancel_url": "https://app.example.com@evil.example/"}, "body.cancel_url"),
        ({"cancel_url": "https://[bad/"}, "body.cancel_url"),
    ],
)
async def test_prices_and_return_addresses_must_be_listed(
    people: People, changes: dict[str, str], field: str
) -> None:
    ana = await people.new()
    body = {"price_id": "price_pro", "success_url": "https://app.example.com/done", **changes}
    answer = await ana.post("/api/payments/create-checkout-session", json=body)
    assert answer.status_code == 422
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == [field]


async def test_without_a_subscription_the_state_is_none(people: People) -> None:
    ana = await people.new()
    assert (await ana.get(SUBSCRIPTION)).json() == {
        "id": None,
        "tier": 0,
        "status": "none",
        "provider": None,
        "price_id": None,
        "current_period_end": None,
        "cancel_at_period_end": False,
        "pending_tier": None,
        "resumes_at": None,
        "updated_at": None,
    }
    for action in ("upgrade", "downgrade", "cancel", "pause", "resume"):
        answer = await ana.post(f"{SUBSCRIPTION}/{action}", json={"tier": 1})
        assert (answer.status_code, error_code(answer)) == (409, "SUBSCRIPTION_STATE")
        assert answer.json()["error"]["details"] == {
            "status": "none",
            "tier": 0,
            "managed_by": None,
            "allowed": ["checkout"],
        }


async def test_an_upgrade_counts_at_once(people: People, database: asyncpg.Connection) -> None:
    ana = await people.new()
    await people.subscribe(ana.id, 1)
    upgraded = (await ana.post(f"{SUBSCRIPTION}/upgrade", json={"tier": 2})).json()
    assert (upgraded["tier"], upgraded["price_id"]) == (2, "price_max")
    told = (await published(database, "subscription.upgraded"))[0]
    assert (told["old_tier"], told["new_tier"], told["subscription_version"]) == (1, 2, 2)
    assert told["quotas"]["premium_model"] == -1
    again = await ana.post(f"{SUBSCRIPTION}/upgrade", json={"tier": 2})
    assert error_code(again) == "SUBSCRIPTION_STATE"
    assert (await ana.post(f"{SUBSCRIPTION}/upgrade", json={"tier": 3})).status_code == 422


async def test_a_declined_upgrade_changes_nothing(people: People) -> None:
    ana = await people.new(email="ana+declined@example.com")
    await people.subscribe(ana.id, 1)
    answer = await ana.post(f"{SUBSCRIPTION}/upgrade", json={"tier": 2})
    assert (answer.status_code, error_code(answer)) == (402, "PAYMENT_FAILED")
    assert set(answer.json()["error"]["details"]) == {"decline_code"}
    assert (await ana.get(SUBSCRIPTION)).json()["tier"] == 1


async def test_a_downgrade_waits_for_the_end_of_the_period(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await people.subscribe(ana.id, 2)
    changed = (await ana.post(f"{SUBSCRIPTION}/downgrade", json={"tier": 1})).json()
    assert (changed["tier"], changed["pending_tier"]) == (2, 1)
    assert await published(database, "subscription.downgraded") == []
    upgraded = await ana.post(f"{SUBSCRIPTION}/downgrade", json={"tier": 2})
    assert upgraded.status_code == 422


async def test_a_cancellation_can_wait_be_taken_back_or_be_now(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await people.subscribe(ana.id, 1)
    waiting = (await ana.post(f"{SUBSCRIPTION}/cancel")).json()
    assert (waiting["status"], waiting["cancel_at_period_end"], waiting["tier"]) == (
        "active",
        True,
        1,
    )
    assert error_code(await ana.post(f"{SUBSCRIPTION}/pause")) == "SUBSCRIPTION_STATE"
    back = (await ana.post(f"{SUBSCRIPTION}/resume")).json()
    assert back["cancel_at_period_end"] is False
    ended = (await ana.post(f"{SUBSCRIPTION}/cancel", json={"at_period_end": False})).json()
    assert (ended["status"], ended["tier"]) == ("cancelled", 0)
    kinds = [r["type"] for r in await database.fetch("SELECT type FROM outbox ORDER BY id")]
    assert kinds == ["subscription.cancelled"]


async def test_a_pause_takes_the_tier_away_until_it_ends(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await people.subscribe(ana.id, 1)
    soon = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    paused = (await ana.post(f"{SUBSCRIPTION}/pause", json={"resumes_at": soon})).json()
    assert (paused["status"], paused["tier"]) == ("paused", 0)
    assert paused["resumes_at"] is not None
    resumed = (await ana.post(f"{SUBSCRIPTION}/resume")).json()
    assert (resumed["status"], resumed["tier"], resumed["resumes_at"]) == ("active", 1, None)
    kinds = [r["type"] for r in await database.fetch("SELECT type FROM outbox ORDER BY id")]
    assert kinds == ["subscription.paused", "subscription.resumed"]
    past = await ana.post(f"{SUBSCRIPTION}/pause", json={"resumes_at": "2020-01-01T00:00:00Z"})
    assert past.status_code == 422


async def test_a_store_subscription_is_managed_by_the_store(people: People) -> None:
    ana = await people.new()
    await people.subscribe(ana.id, 1, provider="revenuecat", price_id="sx_pro_monthly")
    assert (await ana.get(SUBSCRIPTION)).json()["provider"] == "revenuecat"
    for path in (f"{SUBSCRIPTION}/cancel", "/api/payments/billing-portal"):
        answer = await ana.post(path)
        details = answer.json()["error"]["details"]
        assert (error_code(answer), details["managed_by"], details["allowed"]) == (
            "SUBSCRIPTION_STATE",
            "revenuecat",
            [],
        )


async def test_the_open_subscription_of_the_highest_tier_is_shown(people: People) -> None:
    ana = await people.new()
    await people.subscribe(ana.id, 2, status="cancelled")
    await people.subscribe(ana.id, 1)
    await people.subscribe(ana.id, 2, provider="revenuecat", price_id="sx_max_monthly")
    shown = (await ana.get(SUBSCRIPTION)).json()
    assert (shown["provider"], shown["tier"], shown["status"]) == ("revenuecat", 2, "active")


async def test_the_portal_is_for_customers(people: People) -> None:
    ana = await people.new()
    await people.subscribe(ana.id, 1)
    never = await ana.post("/api/payments/billing-portal")
    assert (never.status_code, error_code(never)) == (409, "SUBSCRIPTION_STATE")
    ben = await people.new()
    await ben.post("/api/payments/create-checkout-session", json={"price_id": "price_pro"})
    await people.subscribe(ben.id, 1)
    body = {"return_url": "https://app.example.com/"}
    portal = await ben.post("/api/payments/billing-portal", json=body)
    assert portal.json()["url"].startswith("https://payments.reference.invalid/")


async def test_a_promo_code_gives_its_bonus_once(
    people: People, database: asyncpg.Connection
) -> None:
    await database.execute(
        "INSERT INTO promo_codes (code, kind, quota_type, bonus_amount, max_redemptions)"
        " VALUES ('GIFT', 'quota_bonus', 'chat', 3, 2);"
        "INSERT INTO promo_codes (code, kind, percent_off, valid_until)"
        " VALUES ('OFF20', 'discount', 20, NULL), ('OLD', 'discount', 20, now());"
    )
    path = "/api/payments/promo-codes/redeem"
    ana, ben, eve = await people.new(), await people.new(), await people.new()
    answers = await asyncio.gather(*(ana.post(path, json={"code": "gift"}) for _ in range(3)))
    assert sorted(a.status_code for a in answers) == [200, 409, 409]
    assert next(a.json() for a in answers if a.status_code == 200) == {
        "code": "GIFT",
        "kind": "quota_bonus",
        "applied": True,
        "quota_type": "chat",
        "amount": 3,
        "percent_off": None,
        "trial_days": None,
    }
    assert (await ana.get("/api/payments/quotas")).json()["quota"] == 8
    assert (await ben.post(path, json={"code": "GIFT"})).status_code == 200
    used_up = await eve.post(path, json={"code": "GIFT"})
    assert (used_up.status_code, error_code(used_up)) == (422, "PROMO_INVALID")
    for code in ("NOPE", "old"):
        assert error_code(await eve.post(path, json={"code": code})) == "PROMO_INVALID"
    discount = (await eve.post(path, json={"code": "off20"})).json()
    assert (discount["applied"], discount["percent_off"]) == (False, 20)
    checkout = "/api/payments/create-checkout-session"
    body = {"price_id": "price_pro", "promo_code": "GIFT"}
    assert error_code(await ana.post(checkout, json=body)) == "PROMO_ALREADY_USED"
    assert (
        error_code(await eve.post(checkout, json={**body, "promo_code": "OLD"})) == "PROMO_INVALID"
    )
    assert (await eve.post(checkout, json={**body, "promo_code": "OFF20"})).status_code == 200
    assert len(await published(database, "promo.redeemed")) == 2


async def test_a_referral_gives_both_sides_five_units(
    people: People, client: httpx.AsyncClient, events: Workers
) -> None:
    ana, ben = await people.new(), await people.new()
    code = (await ana.get("/api/user_management/referral")).json()["referral_code"]
    await ben.post("/api/user_management/referral/apply", json={"code": code})
    await events.settle()
    for person in (ana, ben):
        chat = (await person.get("/api/payments/quotas")).json()["quotas"]["chat"]
        assert (chat["bonus"], chat["remaining"]) == (5, 10)


async def test_a_forgotten_reservation_is_given_back_by_the_sweep(
    people: People, database: asyncpg.Connection, events: Workers
) -> None:
    ana = await people.new()
    await database.fetch("SELECT * FROM quota_reserve($1, 'chat', 1, 'c', 'a')", ana.id)
    await database.execute("UPDATE quota_reservations SET expires_at = now() - interval '1 second'")
    await events.run("quotas")
    assert (await ana.get("/api/payments/quotas")).json()["quotas"]["chat"]["held"] == 0
