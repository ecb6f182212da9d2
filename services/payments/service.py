"""What people do with their subscription: look, change, pay, redeem; knows no HTTP and no SQL text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg

from services.payments import promos, repository
from services.payments.entitlements import change
from services.payments.models import Held, State, plan_quotas, shown_quota, shown_subscription
from services.payments.provider import CheckoutPage, Customer, Order, PaymentProvider
from services.payments.rules import require_allowed, state_conflict
from shared.contract.payments import Plan, Plans, PromoRedeemed, Quotas, QuotaTable, Subscription
from shared.errors import CallerError, Code, PeerError, invalid_fields
from shared.placement import Connection, Database
from shared.quota import Quotas as QuotaCalls

NAMES = ("free", "pro", "max")
CONTEXT_TOKENS = (12_000, 64_000, 64_000)  # by tier (contract, 5.1)
BUSY_SECONDS = 2  # when to try again while the provider is asked for the same user
FREE = {"tier": 0, "price_id": None, "amount": 0, "currency": "usd", "interval": None}

T = TypeVar("T")
Act = Callable[[Connection, Held], Awaitable[State]]


class PaymentsService:
    """One per process."""

    def __init__(self, database: Database, provider: PaymentProvider) -> None:
        self._database = database
        self._provider = provider
        self._quotas = QuotaCalls(database.shared)

    async def plans(self) -> Plans:
        """Free, and what is sold, by tier, then amount."""

        async def read(connection: Connection) -> Plans:
            limits = await repository.limits_by_tier(connection)
            sold = [
                {**dict(row), "interval": row["billing_interval"]}
                for row in await repository.sold_prices(connection)
            ]
            return Plans(
                plans=tuple(
                    Plan.model_validate(
                        {
                            "name": NAMES[plan["tier"]],
                            "context_tokens": CONTEXT_TOKENS[plan["tier"]],
                            "quotas": plan_quotas(limits.get(plan["tier"], {})),
                            **{name: plan[name] for name in FREE},
                        }
                    )
                    for plan in (FREE, *sold)
                )
            )

        return await self._database.read(read)

    async def quotas(self, user_id: UUID) -> Quotas:
        """All allowances as they are now; rolls no period and writes nothing."""
        rows = await self._quotas.status(user_id)
        table = QuotaTable.model_validate({name: shown_quota(row) for name, row in rows.items()})
        chat, premium = rows["chat"], rows["premium_model"]
        return Quotas(
            tier=chat.tier,
            quota=table.chat.remaining,
            quota_premium_model=table.premium_model.remaining,
            quota_image_generation=table.image_generation.remaining,
            quota_image_recognition=table.image_recognition.remaining,
            quota_video=table.video.remaining,
            quota_story=table.story.remaining,
            tokens_used=chat.tokens_used,
            premium_tokens_used=premium.tokens_used,
            last_reset=chat.period_start,
            quotas=table,
        )

    async def subscription(self, user_id: UUID) -> Subscription:
        async def read(connection: Connection) -> Subscription:
            held = await repository.chosen(connection, user_id)
            return shown_subscription(held, await repository.effective_tier(connection, user_id))

        return await self._database.read(read)

    async def upgrade(self, user_id: UUID, tier: int) -> Subscription:
        """At once, prorated."""
        attempt = uuid4()

        async def act(connection: Connection, held: Held) -> State:
            price_id = await repository.price_of_tier(connection, tier, held.state.price_id)
            if tier <= held.state.tier or price_id is None:
                raise state_conflict(held, await repository.effective_tier(connection, user_id))
            email = await repository.email_of(connection, user_id)
            customer_id = await repository.customer_of(connection, user_id)
            await self._provider.change_price(
                Customer(user_id, email, customer_id),
                held.provider_subscription_id,
                price_id,
                attempt,
            )
            return held.state.but(price_id=price_id, tier=tier, pending_tier=None)

        return await self._changed(user_id, "upgrade", act)

    async def downgrade(self, user_id: UUID, tier: int) -> Subscription:
        """Kept as pending until the period ends."""
        attempt = uuid4()

        async def act(connection: Connection, held: Held) -> State:
            price_id = await repository.price_of_tier(connection, tier, held.state.price_id)
            if tier >= held.state.tier or price_id is None:
                raise state_conflict(held, await repository.effective_tier(connection, user_id))
            if held.state.pending_tier != tier:
                await self._provider.schedule_price(
                    held.provider_subscription_id, price_id, attempt
                )
            return held.state.but(pending_tier=tier)

        return await self._changed(user_id, "downgrade", act)

    async def cancel(self, user_id: UUID, *, at_period_end: bool) -> Subscription:
        async def act(_connection: Connection, held: Held) -> State:
            await self._provider.cancel(held.provider_subscription_id, at_period_end=at_period_end)
            if at_period_end:
                return held.state.but(cancel_at_period_end=True)
            return held.state.but(status="cancelled", pending_tier=None, resumes_at=None)

        return await self._changed(user_id, "cancel", act)

    async def pause(self, user_id: UUID, resumes_at: datetime | None) -> Subscription:
        if resumes_at is not None and resumes_at <= datetime.now(UTC):
            raise invalid_fields(("body.resumes_at", "must lie in the future"))

        async def act(_connection: Connection, held: Held) -> State:
            await self._provider.pause(held.provider_subscription_id, resumes_at)
            return held.state.but(status="paused", resumes_at=resumes_at)

        return await self._changed(user_id, "pause", act)

    async def resume(self, user_id: UUID) -> Subscription:
        """End a pause, or take back a pending cancellation."""

        async def act(_connection: Connection, held: Held) -> State:
            paused = held.state.status == "paused"
            await self._provider.resume(held.provider_subscription_id, paused=paused)
            if paused:
                return held.state.but(status="active", resumes_at=None)
            return held.state.but(cancel_at_period_end=False)

        return await self._changed(user_id, "resume", act)

    async def checkout(self, user_id: UUID, order: Order, promo_code: str | None) -> CheckoutPage:
        """A page of the provider to pay on."""

        async def check(connection: Connection) -> Order:
            if not await repository.is_sold(connection, order.price_id):
                raise invalid_fields(("body.price_id", "is not an active price"))
            held = await repository.chosen(connection, user_id)
            tier = await repository.effective_tier(connection, user_id)
            require_allowed(held, "checkout", tier)
            return await _with_promo(connection, order, promo_code, user_id)

        complete = await self._database.transaction(check)
        return await self._provider.checkout(await self._customer(user_id), complete)

    async def portal(self, user_id: UUID, return_url: str | None) -> str:
        """The address of the provider's own pages for a customer."""

        async def read(connection: Connection) -> str:
            held = await repository.chosen(connection, user_id)
            tier = await repository.effective_tier(connection, user_id)
            customer_id = await repository.customer_of(connection, user_id)
            if customer_id is None:
                raise state_conflict(held, tier)
            require_allowed(held, "portal", tier)
            return customer_id

        return await self._provider.portal(await self._database.read(read), return_url)

    async def redeem(self, user_id: UUID, code: str) -> PromoRedeemed:
        return await self._database.transaction(lambda c: promos.redeem(c, code, user_id))

    async def _customer(self, user_id: UUID) -> Customer:
        """The provider's one customer of this user, made now if there is none."""

        async def work(connection: Connection) -> Customer:
            await repository.lock_user(connection, user_id)
            email = await repository.email_of(connection, user_id)
            known = await repository.customer_of(connection, user_id)
            if known is None:
                known = await self._provider.customer(Customer(user_id, email, None))
                await repository.keep_customer(connection, known, user_id)
            return Customer(user_id, email, known)

        return await self._locked(work)

    async def _changed(self, user_id: UUID, action: str, act: Act) -> Subscription:
        """Lock the user's subscriptions, check the state, ask the provider, store what it is now.

        The lock is held while the provider is asked: two buttons pressed at once, in whichever app,
        must not both be allowed by the same state.
        """

        async def work(connection: Connection) -> Subscription:
            await repository.lock_user(connection, user_id)
            held = await repository.chosen(connection, user_id, locked=True)
            tier = await repository.effective_tier(connection, user_id)
            require_allowed(held, action, tier)
            if held is None:
                raise state_conflict(held, tier)
            state = await act(connection, held)
            # Deliveries count whole seconds: one about this very change must not look older.
            told_at = datetime.now(UTC).replace(microsecond=0)
            held = await change(connection, held, state, told_at)
            return shown_subscription(held, await repository.effective_tier(connection, user_id))

        return await self._locked(work)

    async def _locked(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """A transaction that waits for the user's lock, but not for a provider that hangs."""
        try:
            return await self._database.transaction(work)
        except asyncpg.LockNotAvailableError as error:
            raise PeerError(
                "another change of this user's subscription is under way",
                retry_after=BUSY_SECONDS,
            ) from error


async def _with_promo(
    connection: Connection, order: Order, promo_code: str | None, user_id: UUID
) -> Order:
    """The order with what a code is worth. Raises PROMO_INVALID, PROMO_ALREADY_USED."""
    if promo_code is None:
        return order
    promo = await promos.usable(connection, promo_code, user_id)
    if promo.kind == "quota_bonus":
        raise CallerError(Code.PROMO_INVALID, "This code is not for a checkout")
    return Order(
        order.price_id,
        order.success_url,
        order.cancel_url,
        promo.code,
        promo.percent_off,
        promo.trial_days,
    )
