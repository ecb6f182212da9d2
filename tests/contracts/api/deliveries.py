"""Deliveries of payment and identity providers, and what has become of them."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import asyncpg
import httpx

from tests.support.people import as_bytes, stripe_headers

STRIPE = "/api/payments/webhook"
REVENUECAT = "/api/payments/webhook/revenuecat"
SUPABASE = "/api/webhooks/supabase"
CLERK = "/api/webhooks/clerk"


async def status_of(database: asyncpg.Connection, event_id: str, *wanted: str) -> str:
    """The delivery's status, once it is one of those."""
    async with asyncio.timeout(10):
        while True:
            status: str = await database.fetchval(
                "SELECT status FROM webhook_inbox WHERE event_id = $1", event_id
            )
            if status in wanted:
                return status
            await asyncio.sleep(0.02)


async def received_by(database: asyncpg.Connection) -> str:
    """The word for the app that stored the latest delivery."""
    word: str = await database.fetchval(
        "SELECT received_by FROM webhook_inbox ORDER BY received_at DESC LIMIT 1"
    )
    return word


async def kinds(database: asyncpg.Connection) -> list[str]:
    rows = await database.fetch("SELECT type FROM outbox ORDER BY id")
    return [row["type"] for row in rows]


class Stripe:
    """Sends signed events about one subscription."""

    def __init__(self, client: httpx.AsyncClient, database: asyncpg.Connection) -> None:
        self._client = client
        self._database = database
        self.subscription = f"sub_ref_{uuid.uuid4()}"
        self.customer = f"cus_{uuid.uuid4()}"
        self.now = int(time.time()) - 100

    async def send(self, kind: str, item: dict[str, Any], **more: Any) -> str:
        event = {
            "id": f"evt_{uuid.uuid4()}",
            "type": kind,
            "created": self.now,
            "livemode": False,
            "data": {"object": item},
            **more,
        }
        body = as_bytes(event)
        answer = await self._client.post(STRIPE, content=body, headers=stripe_headers(body))
        assert answer.json() == {"received": True, "duplicate": False}, answer.text
        return str(event["id"])

    async def subscription_event(self, kind: str, *wanted: str, **item: Any) -> None:
        values = {
            "id": self.subscription,
            "customer": self.customer,
            "status": "active",
            "current_period_end": self.now + 1000,
            "cancel_at_period_end": False,
            "items": {"data": [{"price": {"id": "price_pro"}}]},
            **item,
        }
        event = await self.send(f"customer.subscription.{kind}", values)
        await status_of(self._database, event, *(wanted or ("processed",)))

    async def tie(self, user_id: str, **metadata: str) -> None:
        item = {
            "customer": self.customer,
            "client_reference_id": user_id,
            "metadata": metadata,
        }
        await status_of(
            self._database, await self.send("checkout.session.completed", item), "processed"
        )
