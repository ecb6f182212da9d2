"""What the app asks of the payment provider, and the reference provider of contract, 7."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from monolith.errors import ApiError

SESSION_HOURS = 24
BASE = "https://payments.reference.invalid"
DECLINED = "+declined"


@dataclass(frozen=True, slots=True)
class Customer:
    user_id: UUID
    email: str
    customer_id: str | None  # None: not known to the provider yet


@dataclass(frozen=True, slots=True)
class Order:
    """What is bought, under which conditions."""

    price_id: str
    success_url: str | None
    cancel_url: str | None
    promo_code: str | None
    percent_off: int | None
    trial_days: int | None


@dataclass(frozen=True, slots=True)
class Checkout:
    url: str
    session_id: str
    expires_at: datetime


class PaymentProvider(Protocol):
    """Raises PROVIDER_ERROR, PROVIDER_TIMEOUT (kind `payment`) or PAYMENT_FAILED."""

    async def customer(self, customer: Customer) -> str: ...

    async def checkout(self, customer: Customer, order: Order) -> Checkout: ...

    async def portal(self, customer_id: str, return_url: str | None) -> str: ...

    async def change_price(self, customer: Customer, subscription_id: str, price_id: str) -> None:
        """At once, prorated; raises PAYMENT_FAILED if the charge is declined."""

    async def schedule_price(self, subscription_id: str, price_id: str) -> None:
        """From the next period on."""

    async def cancel(self, subscription_id: str, *, at_period_end: bool) -> None: ...

    async def pause(self, subscription_id: str, resumes_at: datetime | None) -> None: ...

    async def resume(self, subscription_id: str, *, paused: bool) -> None: ...

    async def rename(self, customer_id: str, email: str) -> None: ...

    async def close(self) -> None: ...


def declined(code: str | None) -> ApiError:
    return ApiError("PAYMENT_FAILED", "The payment was declined", {"decline_code": code})


class ReferencePayments:
    """Every action succeeds at once; nothing outside is called."""

    async def customer(self, customer: Customer) -> str:
        return f"cus_ref_{customer.user_id}"

    async def checkout(self, customer: Customer, order: Order) -> Checkout:
        session = f"cs_ref_{uuid.uuid4()}"
        ends = datetime.now(UTC) + timedelta(hours=SESSION_HOURS)
        return Checkout(f"{BASE}/checkout/{session}", session, ends)

    async def portal(self, customer_id: str, return_url: str | None) -> str:
        return f"{BASE}/portal/{customer_id}"

    async def change_price(self, customer: Customer, subscription_id: str, price_id: str) -> None:
        if DECLINED in customer.email:
            raise declined("card_declined")

    async def schedule_price(self, subscription_id: str, price_id: str) -> None:
        """Nothing to do."""

    async def cancel(self, subscription_id: str, *, at_period_end: bool) -> None:
        """Nothing to do."""

    async def pause(self, subscription_id: str, resumes_at: datetime | None) -> None:
        """Nothing to do."""

    async def resume(self, subscription_id: str, *, paused: bool) -> None:
        """Nothing to do."""

    async def rename(self, customer_id: str, email: str) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to close."""
