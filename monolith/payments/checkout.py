"""The ways to the provider's own pages: checkout and billing portal."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Response

from monolith.calls import Call, CurrentCall, reply
from monolith.database import Row
from monolith.errors import ApiError, invalid_field
from monolith.payments.models import CheckoutIn, CheckoutOut, PortalIn, PortalOut
from monolith.payments.promos import usable_promo
from monolith.payments.provider import Customer, Order
from monolith.payments.router import router
from monolith.payments.rules import require_allowed, state_conflict
from monolith.payments.subscriptions import chosen, effective, lock_user
from monolith.payments.till import Till


def check_return(call: Call, path: str, address: str | None) -> None:
    """Only https and hosts of the list, so that nobody is sent to a stranger after paying."""
    if address is None:
        return
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise invalid_field(path, "is not an address") from None
    if parts.scheme != "https" or host not in call.context.settings.return_hosts or parts.username:
        raise invalid_field(path, "must be https on a listed host")


@router.route(
    "checkout",
    "POST",
    "/api/payments/create-checkout-session",
    auth="user",
    kind="write",
    bucket="default",
    answer=CheckoutOut,
    keyed=True,
)
async def checkout(call: CurrentCall, body: CheckoutIn) -> Response:
    check_return(call, "body.success_url", body.success_url)
    check_return(call, "body.cancel_url", body.cancel_url)
    promo: Row | None = None
    async with call.context.database.transaction() as connection:
        known = await connection.fetchval(
            "SELECT true FROM plan_prices WHERE price_id = $1 AND active AND provider = 'stripe'",
            body.price_id,
        )
        if not known:
            raise invalid_field("body.price_id", "is not an active price")
        held = await chosen(connection, call.user_id)
        require_allowed(held, "checkout", await effective(connection, call.user_id))
        if body.promo_code is not None:
            promo = await usable_promo(connection, body.promo_code, call.user_id)
            if promo["kind"] == "quota_bonus":
                raise ApiError("PROMO_INVALID", "This code is not for a checkout")
    customer = await _customer(call)
    order = Order(
        body.price_id,
        body.success_url,
        body.cancel_url,
        promo["code"] if promo else None,
        promo["percent_off"] if promo else None,
        promo["trial_days"] if promo else None,
    )
    made = await call.context.part(Till).provider.checkout(customer, order)
    return reply(
        CheckoutOut(checkout_url=made.url, session_id=made.session_id, expires_at=made.expires_at)
    )


async def _customer(call: Call) -> Customer:
    """The provider's one customer of this user, made now if there is none."""
    async with call.context.database.transaction() as connection:
        await lock_user(connection, call.user_id)
        email = await connection.fetchval("SELECT email FROM users WHERE id = $1", call.user_id)
        known = await connection.fetchval(
            "SELECT customer_id FROM billing_customers WHERE provider = 'stripe' AND user_id = $1",
            call.user_id,
        )
        if known is None:
            stranger = Customer(call.user_id, email or "", None)
            known = await call.context.part(Till).provider.customer(stranger)
            await connection.execute(
                "INSERT INTO billing_customers (provider, customer_id, user_id)"
                " VALUES ('stripe', $1, $2)",
                known,
                call.user_id,
            )
    return Customer(call.user_id, email or "", str(known))


@router.route(
    "portal",
    "POST",
    "/api/payments/billing-portal",
    auth="user",
    kind="write",
    bucket="default",
    answer=PortalOut,
)
async def portal(call: CurrentCall, body: PortalIn) -> Response:
    check_return(call, "body.return_url", body.return_url)
    customer_id = await _portal_customer(call, call.user_id)
    url = await call.context.part(Till).provider.portal(customer_id, body.return_url)
    return reply(PortalOut(url=url))


async def _portal_customer(call: Call, user_id: UUID) -> str:
    async with call.context.database.connection() as connection:
        held = await chosen(connection, user_id)
        tier = await effective(connection, user_id)
        customer_id = await connection.fetchval(
            "SELECT customer_id FROM billing_customers WHERE provider = 'stripe' AND user_id = $1",
            user_id,
        )
    if customer_id is None:
        raise state_conflict(held, tier)
    require_allowed(held, "portal", tier)
    return str(customer_id)
