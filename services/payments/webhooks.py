"""The two addresses that payment providers call (contract, 2.3)."""

from __future__ import annotations

from fastapi import Request

from shared.contract.auth import WebhookReceived
from shared.web.endpoints import ServiceRouter
from shared.webhooks import SignatureInvalidError, WebhookIntake

router = ServiceRouter()


@router.endpoint("payments.webhook_stripe")
async def webhook_stripe(request: Request) -> WebhookReceived:
    intake: WebhookIntake = request.app.state.webhooks
    delivery = intake.verify("stripe", request.headers, await request.body())
    # Test events are refused by a live configuration and the other way round (contract, 1.13).
    if bool(delivery.payload.get("livemode")) is not request.app.state.payments_livemode:
        raise SignatureInvalidError("livemode")
    receipt = await intake.keep(delivery, request.headers)
    return WebhookReceived(duplicate=receipt.duplicate)


@router.endpoint("payments.webhook_revenuecat")
async def webhook_revenuecat(request: Request) -> WebhookReceived:
    intake: WebhookIntake = request.app.state.webhooks
    receipt = await intake.receive("revenuecat", request.headers, await request.body())
    return WebhookReceived(duplicate=receipt.duplicate)
