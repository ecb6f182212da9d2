"""The two addresses that payment providers call."""

from __future__ import annotations

import time

from fastapi import Response

from monolith.calls import CurrentCall
from monolith.payments.router import router
from monolith.payments.stripe_payload import mapping
from monolith.webhooks.inbox import parse, unix_time
from monolith.webhooks.receive import Received, receive
from monolith.webhooks.signatures import check_fixed, check_stripe, signature_invalid


@router.route(
    "webhook_stripe",
    "POST",
    "/api/payments/webhook",
    auth="signature",
    kind="webhook",
    bucket="none",
    answer=Received,
)
async def webhook_stripe(call: CurrentCall) -> Response:
    settings = call.context.settings
    body = await call.request.body()
    header = call.request.headers.get("stripe-signature")
    check_stripe(header, body, settings.webhook_secrets.get("stripe", ()), time.time())
    event = parse(body)
    if bool(event.get("livemode")) != settings.livemode:
        raise signature_invalid()
    created = unix_time(event.get("created"))
    return await receive(call, "stripe", event.get("id"), event.get("type"), created)


@router.route(
    "webhook_revenuecat",
    "POST",
    "/api/payments/webhook/revenuecat",
    auth="signature",
    kind="webhook",
    bucket="none",
    answer=Received,
)
async def webhook_revenuecat(call: CurrentCall) -> Response:
    secrets = call.context.settings.webhook_secrets.get("revenuecat", ())
    check_fixed(call.request.headers.get("authorization"), secrets)
    event = mapping(parse(await call.request.body()).get("event"))
    told = event.get("event_timestamp_ms")
    created = unix_time(told / 1000) if isinstance(told, int | float) else None
    return await receive(call, "revenuecat", event.get("id"), event.get("type"), created)
