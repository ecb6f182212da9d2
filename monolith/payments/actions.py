"""Changing a subscription: upgrade, downgrade, cancel, pause, resume."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

from fastapi import Response

from monolith.calls import Call, CurrentCall, reply
from monolith.database import Connection
from monolith.errors import invalid_field
from monolith.payments.models import (
    CancelIn,
    DowngradeIn,
    PauseIn,
    Subscription,
    UpgradeIn,
)
from monolith.payments.provider import Customer
from monolith.payments.router import router
from monolith.payments.rules import Held, Wanted, require_allowed, state_conflict, wanted_of
from monolith.payments.subscriptions import change, chosen, effective, lock_user, shown
from monolith.payments.till import Till

Act = Callable[[Connection, Held], Awaitable[Wanted]]


@router.route(
    "subscription",
    "GET",
    "/api/payments/subscription",
    auth="user",
    kind="read",
    bucket="default",
    answer=Subscription,
)
async def subscription(call: CurrentCall) -> Response:
    async with call.context.database.connection() as connection:
        held = await chosen(connection, call.user_id)
        return reply(shown(held, await effective(connection, call.user_id)))


async def _changed(call: Call, action: str, act: Act) -> Response:
    """Lock the user's subscriptions, check the state, ask the provider, store what it is now."""
    async with call.context.database.transaction() as connection:
        await lock_user(connection, call.user_id)
        held = await chosen(connection, call.user_id, locked=True)
        tier = await effective(connection, call.user_id)
        require_allowed(held, action, tier)
        if held is None:
            raise state_conflict(held, tier)
        wanted = await act(connection, held)
        # Webhooks count whole seconds: one about this very change must not look older than it.
        told_at = datetime.now(UTC).replace(microsecond=0)
        held = await change(connection, held, wanted, told_at, call.request_id)
        return reply(shown(held, await effective(connection, call.user_id)))


async def _price_of(connection: Connection, held: Held, tier: int) -> str | None:
    """The active price of a tier with the same interval."""
    price: str | None = await connection.fetchval(
        "SELECT p.price_id FROM plan_prices p LEFT JOIN plan_prices old ON old.price_id = $2"
        " WHERE p.provider = 'stripe' AND p.active AND p.tier = $1"
        " ORDER BY p.billing_interval IS DISTINCT FROM old.billing_interval, p.amount LIMIT 1",
        tier,
        held.price_id,
    )
    return price


async def _customer(connection: Connection, user_id: UUID) -> Customer:
    row = await connection.fetchrow(
        "SELECT u.email, b.customer_id FROM users u LEFT JOIN billing_customers b"
        " ON b.user_id = u.id AND b.provider = 'stripe' WHERE u.id = $1",
        user_id,
    )
    if row is None:
        return Customer(user_id, "", None)
    return Customer(user_id, row["email"] or "", row["customer_id"])


@router.route(
    "upgrade",
    "POST",
    "/api/payments/subscription/upgrade",
    auth="user",
    kind="write",
    bucket="default",
    answer=Subscription,
    keyed=True,
)
async def upgrade(call: CurrentCall, body: UpgradeIn) -> Response:
    async def act(connection: Connection, held: Held) -> Wanted:
        price_id = await _price_of(connection, held, body.tier)
        if body.tier <= held.tier or price_id is None:
            raise state_conflict(held, await effective(connection, call.user_id))
        await call.context.part(Till).provider.change_price(
            await _customer(connection, call.user_id), held.provider_subscription_id, price_id
        )
        return wanted_of(held, price_id=price_id, tier=body.tier, pending_tier=None)

    return await _changed(call, "upgrade", act)


@router.route(
    "downgrade",
    "POST",
    "/api/payments/subscription/downgrade",
    auth="user",
    kind="write",
    bucket="default",
    answer=Subscription,
    keyed=True,
)
async def downgrade(call: CurrentCall, body: DowngradeIn) -> Response:
    async def act(connection: Connection, held: Held) -> Wanted:
        price_id = await _price_of(connection, held, body.tier)
        if body.tier >= held.tier or price_id is None:
            raise state_conflict(held, await effective(connection, call.user_id))
        if held.pending_tier != body.tier:
            await call.context.part(Till).provider.schedule_price(
                held.provider_subscription_id, price_id
            )
        return wanted_of(held, pending_tier=body.tier)

    return await _changed(call, "downgrade", act)


@router.route(
    "cancel",
    "POST",
    "/api/payments/subscription/cancel",
    auth="user",
    kind="write",
    bucket="default",
    answer=Subscription,
    keyed=True,
)
async def cancel(call: CurrentCall, body: CancelIn) -> Response:
    at_period_end = body.at_period_end is not False

    async def act(_connection: Connection, held: Held) -> Wanted:
        await call.context.part(Till).provider.cancel(
            held.provider_subscription_id, at_period_end=at_period_end
        )
        if at_period_end:
            return wanted_of(held, cancel_at_period_end=True)
        return wanted_of(held, status="cancelled", pending_tier=None, resumes_at=None)

    return await _changed(call, "cancel", act)


@router.route(
    "pause",
    "POST",
    "/api/payments/subscription/pause",
    auth="user",
    kind="write",
    bucket="default",
    answer=Subscription,
    keyed=True,
)
async def pause(call: CurrentCall, body: PauseIn) -> Response:
    if body.resumes_at is not None and body.resumes_at <= datetime.now(UTC):
        raise invalid_field("body.resumes_at", "must lie in the future")

    async def act(_connection: Connection, held: Held) -> Wanted:
        await call.context.part(Till).provider.pause(held.provider_subscription_id, body.resumes_at)
        return wanted_of(held, status="paused", resumes_at=body.resumes_at)

    return await _changed(call, "pause", act)


@router.route(
    "resume",
    "POST",
    "/api/payments/subscription/resume",
    auth="user",
    kind="write",
    bucket="default",
    answer=Subscription,
    keyed=True,
)
async def resume(call: CurrentCall) -> Response:
    async def act(_connection: Connection, held: Held) -> Wanted:
        paused = held.status == "paused"
        await call.context.part(Till).provider.resume(held.provider_subscription_id, paused=paused)
        if paused:
            return wanted_of(held, status="active", resumes_at=None)
        return wanted_of(held, cancel_at_period_end=False)

    return await _changed(call, "resume", act)
