"""Every event that the old API writes has data that the shared catalogue accepts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from monolith.app import build_app
from monolith.migrations import migrate
from monolith.settings import Settings
from monolith.worker import Worker
from shared.events.catalogue import shipped_catalogue
from shared.events.envelope import read_event
from tests.support.people import (
    PNG,
    SECRET,
    STRIPE_SECRET,
    People,
    as_bytes,
    stripe_headers,
)

ROOMS, STORIES = "/api/story/rooms", "/api/story/stories"


@pytest.fixture
async def settings(database: str, redis_url: str, tmp_path: Path) -> Settings:
    await migrate(database)
    return Settings(
        database,
        (SECRET,),
        redis_url=redis_url,
        rate_limits={},
        media_dir=tmp_path,
        webhook_secrets={"stripe": (STRIPE_SECRET,)},
    )


@pytest.fixture
async def people(settings: Settings) -> AsyncIterator[People]:
    app = build_app(settings)
    rows = await asyncpg.connect(settings.database_url)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield People(client, rows)
    await rows.close()


async def test_what_a_busy_day_publishes_is_in_the_catalogue(
    settings: Settings, people: People
) -> None:
    client = people.client
    ana, ben = await people.new(tier=2), await people.new()
    await client.post("/api/auth/create-account", json={"email": "new@example.com"})
    code = {"email": "new@example.com", "code": "000000"}
    await client.post("/api/auth/verify-otp", json=code)
    await ana.put("/api/auth/users/me/details", json={"name": "Anna"})
    referral = (await ana.get("/api/user_management/referral")).json()["referral_code"]
    await ben.post("/api/user_management/referral/apply", json={"code": referral})
    for number in range(5):
        reply = await ben.talk("hi", f"C{number}")
    await ben.delete(f"/api/chat/messages/{reply['message_id']}")
    await ben.delete(f"/api/chat/conversations/{reply['conversation_id']}")
    form = {"character": "A", "message": "look"}
    await ana.post("/api/chat/image", files={"image": ("a.png", PNG)}, data=form)
    image = await ana.upload()
    await ana.post("/api/images/generate", json={"prompt": "x"})
    story = (await ana.post("/api/story/drafts", json={"characters": ["A"]})).json()["id"]
    await ana.post(f"{STORIES}/{story}/publish")
    await ben.put(f"{STORIES}/{story}/like", json={})
    room = (await ana.post(ROOMS, json={"name": "R"})).json()
    await ben.post(f"{ROOMS}/join", json={"code": room["join_code"]})
    await ben.delete(f"{ROOMS}/{room['id']}/members/me")
    character = {"name": "C", "publish": True, "image_media_id": image["id"]}
    await ana.post("/api/story/characters", json=character)
    await ana.delete(f"/api/images/{image['id']}")
    await ana.delete(f"{STORIES}/{story}")
    for _ in range(3):
        await ana.post("/api/analytics/users/me/streak/check-in")
        await people.rows.execute("UPDATE user_streaks SET last_check_in = last_check_in - 1")
    await ana.post("/api/analytics/events", json={"events": [{"name": "x"}]})
    await people.rows.execute(
        "INSERT INTO promo_codes (code, kind, quota_type, bonus_amount)"
        " VALUES ('GIFT', 'quota_bonus', 'chat', 1)"
    )
    await ben.post("/api/payments/promo-codes/redeem", json={"code": "GIFT"})
    for action, body in (
        ("pause", {}),
        ("resume", {}),
        ("cancel", {"at_period_end": False}),
    ):
        await ana.post(f"/api/payments/subscription/{action}", json=body)
    await people.subscribe(ben.id, 1)
    await ben.post("/api/payments/subscription/upgrade", json={"tier": 2})
    await _invoice(people, ben.id)
    worker = Worker(settings)
    async with worker.opened():
        await worker.settle()
        await ana.delete("/api/auth/users/me")
        await worker.settle()
    found = await _published(people)
    assert found >= {
        "user.created",
        "user.updated",
        "user.deleted",
        "user.logged_in",
        "user.engagement",
        "referral.confirmed",
        "subscription.upgraded",
        "subscription.cancelled",
        "subscription.paused",
        "subscription.resumed",
        "payment.succeeded",
        "promo.redeemed",
        "quota.updated",
        "quota.depleted",
        "conversation.created",
        "conversation.deleted",
        "message.sent",
        "message.deleted",
        "chat.image_received",
        "media.created",
        "media.deleted",
        "story.created",
        "story.published",
        "story.liked",
        "story.deleted",
        "room.created",
        "room.joined",
        "room.left",
        "character.published",
        "streak.milestone",
        "achievement.unlocked",
    }


async def _invoice(people: People, user_id: str) -> None:
    item = {
        "id": "in_1",
        "customer": "cus_1",
        "metadata": {"user_id": user_id},
        "amount_paid": 999,
        "currency": "usd",
    }
    event = {"id": "evt_1", "type": "invoice.paid", "livemode": False, "data": {"object": item}}
    body = as_bytes(event)
    answer = await people.client.post(
        "/api/payments/webhook", content=body, headers=stripe_headers(body)
    )
    assert answer.status_code == 200
    async with asyncio.timeout(10):
        while not await people.rows.fetchval("SELECT count(*) FROM payment_transactions"):
            await asyncio.sleep(0.02)


async def _published(people: People) -> set[str]:
    """Types of all events, after the catalogue has looked at each."""
    catalogue = shipped_catalogue()
    rows = await people.rows.fetch("SELECT body FROM outbox")
    for row in rows:
        catalogue.check(read_event(row["body"].encode()))
    return {json.loads(row["body"])["type"] for row in rows}
