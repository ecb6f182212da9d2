"""What RevenueCat says that a person holds in the app stores; reads no table (REST API v1, subscribers)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from services.payments.foreign import Json, mapping
from services.payments.settings import PaymentsWorkerSettings
from shared.errors import provider_failed, provider_timed_out
from shared.webhooks.providers import moment

CALL_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class StoreSubscription:
    """The product that a person holds longest, as the stores see it."""

    product_id: str
    status: str
    period_end: datetime
    cancel_at_period_end: bool


def read_subscriber(subscriptions: Mapping[str, Any], now: datetime) -> StoreSubscription | None:
    """The present state out of every product that was ever bought; None if there is none."""
    found: list[tuple[datetime, str, Json]] = []
    for product_id, told in subscriptions.items():
        ends = moment(mapping(told).get("expires_date"))
        if ends is not None:
            found.append((ends, product_id, mapping(told)))
    if not found:
        return None
    ends, product_id, told = max(found, key=lambda one: one[:2])
    grace = moment(told.get("grace_period_expires_date"))
    if told.get("refunded_at") or max(ends, grace or ends) <= now:
        status = "cancelled"
    elif told.get("billing_issues_detected_at"):
        status = "past_due"
    else:
        status = "trialing" if told.get("period_type") == "trial" else "active"
    return StoreSubscription(product_id, status, ends, bool(told.get("unsubscribe_detected_at")))


class StoreBooks:
    """One client per process. Raises PeerError of kind `payment`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def subscriptions(self, user_id: UUID) -> Mapping[str, Any]:
        """By product, as plain JSON; our user's id is RevenueCat's `app_user_id`."""
        try:
            answer = await self._client.get(f"/subscribers/{user_id}")
            answer.raise_for_status()
            subscriber = mapping(answer.json()).get("subscriber")
        except httpx.TimeoutException as error:
            raise provider_timed_out("RevenueCat took too long", "payment") from error
        except (httpx.HTTPError, ValueError) as error:
            raise provider_failed(f"RevenueCat: {type(error).__name__}", "payment") from error
        return mapping(mapping(subscriber).get("subscriptions"))


@asynccontextmanager
async def open_stores(settings: PaymentsWorkerSettings) -> AsyncIterator[StoreBooks | None]:
    """The stores' books while the block runs; None without a key."""
    if settings.revenuecat_api_key is None or settings.providers == "reference":
        yield None
        return
    key = settings.revenuecat_api_key.get_secret_value()
    async with httpx.AsyncClient(
        base_url=settings.revenuecat_base_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=CALL_SECONDS,
    ) as client:
        yield StoreBooks(client)
