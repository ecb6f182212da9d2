"""The public routes of payments (contract, 2.3): parameters in, wire models out."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from services.payments.provider import Order
from services.payments.service import PaymentsService
from shared.auth.dependencies import CurrentUser
from shared.contract.payments import (
    BillingPortal,
    BillingPortalAddress,
    Cancel,
    Checkout,
    CheckoutSession,
    Downgrade,
    Pause,
    Plans,
    PromoRedeemed,
    Quotas,
    RedeemPromo,
    Subscription,
    Upgrade,
)
from shared.errors import invalid_fields
from shared.web.endpoints import ServiceRouter

router = ServiceRouter()
PLANS_SECONDS = 300  # contract, 1.11


async def payments_service(request: Request) -> PaymentsService:
    """The service that the app's lifespan has opened; async, for others run in a thread."""
    service: PaymentsService = request.app.state.payments
    return service


Payments = Annotated[PaymentsService, Depends(payments_service)]


@router.endpoint("payments.plans", cache_seconds=PLANS_SECONDS)
async def plans(payments: Payments) -> Plans:
    return await payments.plans()


@router.endpoint("payments.quotas")
async def quotas(payments: Payments, user: CurrentUser) -> Quotas:
    return await payments.quotas(user.id)


@router.endpoint("payments.subscription")
async def subscription(payments: Payments, user: CurrentUser) -> Subscription:
    return await payments.subscription(user.id)


@router.endpoint("payments.checkout")
async def checkout(
    request: Request, payments: Payments, user: CurrentUser, body: Checkout
) -> CheckoutSession:
    _check_return(request, "body.success_url", body.success_url)
    _check_return(request, "body.cancel_url", body.cancel_url)
    order = Order(body.price_id, body.success_url, body.cancel_url)
    page = await payments.checkout(user.id, order, body.promo_code)
    return CheckoutSession(
        checkout_url=page.url, session_id=page.session_id, expires_at=page.expires_at
    )


@router.endpoint("payments.upgrade")
async def upgrade(payments: Payments, user: CurrentUser, body: Upgrade) -> Subscription:
    return await payments.upgrade(user.id, body.tier)


@router.endpoint("payments.downgrade")
async def downgrade(payments: Payments, user: CurrentUser, body: Downgrade) -> Subscription:
    return await payments.downgrade(user.id, body.tier)


@router.endpoint("payments.cancel")
async def cancel(payments: Payments, user: CurrentUser, body: Cancel | None = None) -> Subscription:
    return await payments.cancel(user.id, at_period_end=body is None or body.at_period_end)


@router.endpoint("payments.pause")
async def pause(payments: Payments, user: CurrentUser, body: Pause | None = None) -> Subscription:
    return await payments.pause(user.id, body.resumes_at if body is not None else None)


@router.endpoint("payments.resume")
async def resume(payments: Payments, user: CurrentUser) -> Subscription:
    return await payments.resume(user.id)


@router.endpoint("payments.portal")
async def portal(
    request: Request, payments: Payments, user: CurrentUser, body: BillingPortal | None = None
) -> BillingPortalAddress:
    return_url = body.return_url if body is not None else None
    _check_return(request, "body.return_url", return_url)
    return BillingPortalAddress(url=await payments.portal(user.id, return_url))


@router.endpoint("payments.promo_redeem")
async def promo_redeem(payments: Payments, user: CurrentUser, body: RedeemPromo) -> PromoRedeemed:
    return await payments.redeem(user.id, body.code)


def _check_return(request: Request, path: str, address: str | None) -> None:
    """Only https and hosts of the list, so that nobody is sent to a stranger after paying."""
    if address is None:
        return
    hosts: frozenset[str] = request.app.state.return_hosts
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise invalid_fields((path, "is not an address")) from None
    if parts.scheme != "https" or host not in hosts or parts.username:
        raise invalid_fields((path, "must be https on a listed host"))
