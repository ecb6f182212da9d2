"""The same questions put to Stripe; thin, because webhooks carry the truth back."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import stripe

from monolith.errors import provider_failed, provider_timed_out
from monolith.payments.provider import Checkout, Customer, Order, declined

CALL_SECONDS = 8.0
T = TypeVar("T")


async def _asked(call: Awaitable[T]) -> T:
    try:
        return await call
    except stripe.CardError as error:
        told = error.error.decline_code if error.error is not None else None
        raise declined(told or error.code) from error
    except stripe.APIConnectionError as error:
        raise provider_timed_out("payment") from error
    except stripe.StripeError as error:
        raise provider_failed("payment") from error


class StripePayments:
    """One client per process."""

    def __init__(self, key: str, default_url: str, base_url: str | None = None) -> None:
        self._http = stripe.HTTPXClient(timeout=CALL_SECONDS, allow_sync_methods=False)
        self._client = stripe.StripeClient(
            key,
            http_client=self._http,
            base_addresses={"api": base_url} if base_url else {},
            max_network_retries=0,
        )
        self._default_url = default_url

    async def customer(self, customer: Customer) -> str:
        made = await _asked(
            self._client.v1.customers.create_async(
                {"email": customer.email, "metadata": {"user_id": str(customer.user_id)}},
                {"idempotency_key": f"customer:{customer.user_id}"},
            )
        )
        return made.id

    async def checkout(self, customer: Customer, order: Order) -> Checkout:
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
            "success_url": order.success_url or self._default_url,
            "cancel_url": order.cancel_url or self._default_url,
            "metadata": metadata,
            "subscription_data": subscription,
        }
        if order.percent_off:
            coupon = await _asked(
                self._client.v1.coupons.create_async(
                    {"percent_off": float(order.percent_off), "duration": "once"}
                )
            )
            wanted["discounts"] = [{"coupon": coupon.id}]
        session = await _asked(self._client.v1.checkout.sessions.create_async(cast(Any, wanted)))
        ends = datetime.fromtimestamp(session.expires_at, UTC)
        return Checkout(session.url or self._default_url, session.id, ends)

    async def portal(self, customer_id: str, return_url: str | None) -> str:
        made = await _asked(
            self._client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url or self._default_url}
            )
        )
        return made.url

    async def _item(self, subscription_id: str) -> str:
        known = await _asked(self._client.v1.subscriptions.retrieve_async(subscription_id))
        items = known["items"]["data"]
        if not items:
            raise provider_failed("payment")
        return str(items[0]["id"])

    async def _update(self, subscription_id: str, **changes: Any) -> None:
        await _asked(
            self._client.v1.subscriptions.update_async(subscription_id, cast(Any, changes))
        )

    async def change_price(self, customer: Customer, subscription_id: str, price_id: str) -> None:
        await self._update(
            subscription_id,
            items=[{"id": await self._item(subscription_id), "price": price_id}],
            proration_behavior="always_invoice",
            payment_behavior="error_if_incomplete",
        )

    async def schedule_price(self, subscription_id: str, price_id: str) -> None:
        made = await _asked(
            self._client.v1.subscription_schedules.create_async(
                {"from_subscription": subscription_id}
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
        await _asked(self._client.v1.subscription_schedules.update_async(made.id, cast(Any, plan)))

    async def cancel(self, subscription_id: str, *, at_period_end: bool) -> None:
        if at_period_end:
            await self._update(subscription_id, cancel_at_period_end=True)
        else:
            await _asked(self._client.v1.subscriptions.cancel_async(subscription_id))

    async def pause(self, subscription_id: str, resumes_at: datetime | None) -> None:
        collection: dict[str, Any] = {"behavior": "void"}
        if resumes_at is not None:
            collection["resumes_at"] = int(resumes_at.timestamp())
        await self._update(subscription_id, pause_collection=collection)

    async def resume(self, subscription_id: str, *, paused: bool) -> None:
        if paused:
            await self._update(subscription_id, pause_collection="")
        else:
            await self._update(subscription_id, cancel_at_period_end=False)

    async def rename(self, customer_id: str, email: str) -> None:
        await _asked(self._client.v1.customers.update_async(customer_id, {"email": email}))

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]
