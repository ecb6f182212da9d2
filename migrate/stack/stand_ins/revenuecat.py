"""Stand-in of RevenueCat: sends its events and tells a subscriber's state (docs.revenuecat.com/webhooks)."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from migrate.stack.stand_ins.deliveries import WebhookPost
from shared.webhooks.senders import Outgoing, static_delivery

Json = dict[str, Any]
MONTH_MS = 30 * 86_400_000
#: Events after which nothing is entitled any more.
_ENDS = frozenset({"EXPIRATION"})


class RevenueCatEvents:
    """The events that were sent, by the user they are about."""

    def __init__(self, post: WebhookPost) -> None:
        self._post = post
        self.reset()

    def reset(self) -> None:
        self._sent: dict[str, list[Json]] = {}

    def send(self, fields: Json) -> Json:
        """Complete an event as RevenueCat has it and deliver it; `fields` win."""
        now_ms = int(time.time() * 1000)
        event: Json = {
            "id": str(uuid.uuid4()),
            "type": "INITIAL_PURCHASE",
            "app_user_id": "",
            "product_id": "pro_monthly",
            "period_type": "NORMAL",
            "purchased_at_ms": now_ms,
            "expiration_at_ms": now_ms + MONTH_MS,
            "event_timestamp_ms": now_ms,
            "environment": "SANDBOX",
            "store": "APP_STORE",
            "currency": "USD",
            "price": 9.99,
            "transaction_id": str(uuid.uuid4().int)[:15],
        } | fields
        event.setdefault("original_app_user_id", event["app_user_id"])
        self._sent.setdefault(str(event["app_user_id"]), []).append(event)
        body = {"api_version": "1.0", "event": event}

        def sign(secret: str, _now: int) -> Outgoing:
            return static_delivery(body, secret)

        self._post.send("revenuecat", event["id"], sign)
        return event

    def subscriber(self, user_id: str) -> Json:
        """State by the last event of every product."""
        state: Json = {}
        for event in self._sent.get(user_id, ()):
            product = event.get("new_product_id") or event["product_id"]
            ends = event["expiration_at_ms"]
            if event["type"] in _ENDS:
                ends = min(ends, event["event_timestamp_ms"])
            state[product] = {
                "expires_date": _moment(ends),
                "purchase_date": _moment(event["purchased_at_ms"]),
                "store": event["store"].lower(),
                "is_sandbox": event["environment"] == "SANDBOX",
                "unsubscribe_detected_at": _moment(event["event_timestamp_ms"])
                if event["type"] == "CANCELLATION"
                else None,
            }
        return {"original_app_user_id": user_id, "subscriptions": state, "entitlements": {}}


def revenuecat_app(events: RevenueCatEvents) -> FastAPI:
    """`POST /_send` with the fields of an event; `GET /v1/subscribers/{id}` with any key."""
    app = FastAPI(title="Stand-in of RevenueCat", openapi_url=None)

    @app.post("/_send")
    async def send(fields: Json) -> Json:
        return events.send(fields)

    @app.get("/v1/subscribers/{user_id}")
    async def subscriber(request: Request, user_id: str) -> Response:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return JSONResponse({"code": 7225, "message": "Invalid API Key."}, 401)
        return JSONResponse({"subscriber": events.subscriber(user_id)})

    return app


def _moment(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
