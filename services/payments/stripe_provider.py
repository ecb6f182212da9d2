"""The same questions put to Stripe through its async client; thin, for deliveries carry the truth back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import stripe

from services.payments.provider import (
    CheckoutPage,
    Customer,
    Order,
    PaymentProvider,
    ReferencePayments,
    declined,
)
from services.payments.settings import ProviderSettings
from shared.errors import OperatorError, provider_failed, provider_timed_out

#: Below the time limit of the routes (10 s), so that the client hears of the provider.
CALL_SECONDS = 8.0
PAGE_ROWS = 100  # Stripe's largest page
T = TypeVar("T")


class StripePayments:
    """One client per process. Every call that could charge twice has an idempotency key."""

    def __init__(self, client: stripe.StripeClient, home_url: str) -> None:
        """`home_url`: where people return when the request names no address."""
        self._v1 = client.v1
        self._home_url = home_url

    async def customer(self, customer: Customer) -> str:
        made = await _asked(
            self._v1.customers.create_async(
                {"email": customer.email, "metadata": {"user_id": str(customer.user_id)}},
                {"idempotency_key": f"customer:{customer.user_id}"},
            )
        )
        return made.id

    async def checkout(self, customer: Customer, order: Order) -> CheckoutPage:
        metadata = {"user_id": str(customer.user_id)}
        if order.promo_code:
            metadata["promo_code"] = order.promo_code
        subscription: dict[str, Any] = {"metadata": metadata}
        if order.trial_days:
            subscription["trial_period_days"] = order.trial_days
        wanted: dict[str, Any] = {
            "mode": "subscription",
            "customer": customer.customer_id,
            "client_reference_id": str(customer.user_id),
            "line_items": [{"price": order.price_id, "quantity": 1}],
            "success_url": order.success_url or self._home_url,
            "cancel_url": order.cancel_url or self._home_url,
            "metadata": metadata,
            "subscription_data": subscription,
        }
        if order.percent_off:
            wanted["discounts"] = [{"coupon": await self._coupon(order.percent_off)}]
        session = await _asked(self._v1.checkout.sessions.create_async(cast("Any", wanted)))
        expires_at = datetime.fromtimestamp(session.expires_at, UTC)
        return CheckoutPage(session.url or self._home_url, session.id, expires_at)

    async def _coupon(self, percent_off: int) -> str:
        made = await _asked(
            self._v1.coupons.create_async({"percent_off": float(percent_off), "duration": "once"})
        )
        return made.id

    async def portal(self, customer_id: str, return_url: str | None) -> str:
        made = await _asked(
            self._v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url or self._home_url}
            )
        )
        return made.url

    async def change_price(
        self, customer: Customer, subscription_id: str, price_id: str, attempt: UUID
    ) -> None:
        known = await _asked(self._v1.subscriptions.retrieve_async(subscription_id))
        items = known["items"]["data"]
        if not items:
            raise provider_failed(f"subscription {subscription_id} has no items", "payment")
        changes = {
            "items": [{"id": items[0]["id"], "price": price_id}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "error_if_incomplete",
        }
        await self._update(subscription_id, changes, f"price:{attempt}")

    async def schedule_price(self, subscription_id: str, price_id: str, attempt: UUID) -> None:
        made = await _asked(
            self._v1.subscription_schedules.create_async(
                {"from_subscription": subscription_id}, {"idempotency_key": f"schedule:{attempt}"}
            )
        )
        phase = made.phases[0]
        present = [{"price": str(item.price), "quantity": 1} for item in phase["items"]]
        plan: dict[str, Any] = {
            "phases": [
                {"items": present, "start_date": phase.start_date, "end_date": phase.end_date},
                {"items": [{"price": price_id, "quantity": 1}]},
            ]
        }
        await _asked(self._v1.subscription_schedules.update_async(made.id, cast("Any", plan)))

    async def cancel(self, subscription_id: str, *, at_period_end: bool) -> None:
        if at_period_end:
            await self._update(subscription_id, {"cancel_at_period_end": True})
            return
        try:
            await self._v1.subscriptions.cancel_async(subscription_id)
        except stripe.InvalidRequestError as error:
            if error.http_status != 404:  # it has ended already: what was wanted
                raise provider_failed(f"Stripe: {error.code}", "payment") from error
        except stripe.StripeError as error:
            raise _failure(error) from error

    async def pause(self, subscription_id: str, resumes_at: datetime | None) -> None:
        collection: dict[str, Any] = {"behavior": "void"}
        if resumes_at is not None:
            collection["resumes_at"] = int(resumes_at.timestamp())
        await self._update(subscription_id, {"pause_collection": collection})

    async def resume(self, subscription_id: str, *, paused: bool) -> None:
        change = {"pause_collection": ""} if paused else {"cancel_at_period_end": False}
        await self._update(subscription_id, change)

    async def rename(self, customer_id: str, email: str) -> None:
        await _asked(self._v1.customers.update_async(customer_id, {"email": email}))

    async def subscriptions(self) -> AsyncIterator[dict[str, Any]]:
        page = await _asked(
            self._v1.subscriptions.list_async({"status": "all", "limit": PAGE_ROWS})
        )
        async for one in _every(page):
            yield one

    async def events(self, since: datetime, types: list[str]) -> AsyncIterator[dict[str, Any]]:
        wanted = {
            "created": {"gte": int(since.timestamp())},
            "types": types,
            "limit": PAGE_ROWS,
        }
        page = await _asked(self._v1.events.list_async(cast("Any", wanted)))
        async for one in _every(page):
            yield one

    async def _update(
        self, subscription_id: str, changes: dict[str, Any], key: str | None = None
    ) -> None:
        options: Any = {"idempotency_key": key} if key else {}
        await _asked(
            self._v1.subscriptions.update_async(subscription_id, cast("Any", changes), options)
        )


@asynccontextmanager
async def open_provider(settings: ProviderSettings) -> AsyncIterator[PaymentProvider]:
    """The provider of this process. Raises OperatorError without a key."""
    if settings.providers == "reference":
        yield ReferencePayments()
        return
    async with open_stripe(settings) as provider:
        yield provider


@asynccontextmanager
async def open_stripe(settings: ProviderSettings) -> AsyncIterator[StripePayments]:
    """Stripe while the block runs. Retries are ours alone: a route has a deadline."""
    if settings.stripe_secret_key is None:
        raise OperatorError("STRIPE_SECRET_KEY is not set: give it, or PROVIDERS=reference")
    http = stripe.HTTPXClient(timeout=CALL_SECONDS, allow_sync_methods=False)
    base = settings.stripe_api_base
    client = stripe.StripeClient(
        settings.stripe_secret_key.get_secret_value(),
        http_client=http,
        base_addresses={"api": base} if base else {},
        max_network_retries=0,
    )
    try:
        yield StripePayments(client, settings.public_base_url)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


async def _every(page: Any) -> AsyncIterator[dict[str, Any]]:
    """All objects of a list, as plain JSON."""
    try:
        async for one in page.auto_paging_iter():
            yield one.to_dict()
    except stripe.StripeError as error:
        raise _failure(error) from error


async def _asked(call: Awaitable[T]) -> T:
    try:
        return await call
    except stripe.CardError as error:
        told = error.error.decline_code if error.error is not None else None
        raise declined(told or error.code) from error
    except stripe.StripeError as error:
        raise _failure(error) from error


def _failure(error: stripe.StripeError) -> Exception:
    if isinstance(error, stripe.APIConnectionError):
        return provider_timed_out("Stripe did not answer in time", "payment")
    return provider_failed(f"Stripe: {type(error).__name__} {error.code}", "payment")
