"""What payments asks of a payment provider, and the reference provider of the contract (7)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from shared.errors import CallerError, Code

SESSION_HOURS = 24
BASE = "https://payments.reference.invalid"
DECLINED = "+declined"


@dataclass(frozen=True, slots=True)
class Customer:
    """`customer_id` None: not known to the provider yet."""

    user_id: UUID
    email: str
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """What is bought, under which conditions."""

    price_id: str
    success_url: str | None
    cancel_url: str | None
    promo_code: str | None = None
    percent_off: int | None = None
    trial_days: int | None = None


@dataclass(frozen=True, slots=True)
class CheckoutPage:
    url: str
    session_id: str
    expires_at: datetime


class PaymentProvider(Protocol):
    """Raises PAYMENT_FAILED, or PeerError PROVIDER_ERROR and PROVIDER_TIMEOUT of kind `payment`.

    `attempt` names one attempt of one change: asking again with it changes nothing more.
    """

    async def customer(self, customer: Customer) -> str:
        """Make the customer of a user; the same one for the same user."""
        ...

    async def checkout(self, customer: Customer, order: Order) -> CheckoutPage: ...

    async def portal(self, customer_id: str, return_url: str | None) -> str: ...

    async def change_price(
        self, customer: Customer, subscription_id: str, price_id: str, attempt: UUID
    ) -> None:
        """At once, prorated."""
        ...

    async def schedule_price(self, subscription_id: str, price_id: str, attempt: UUID) -> None:
        """From the next period on."""
        ...

    async def cancel(self, subscription_id: str, *, at_period_end: bool) -> None: ...

    async def pause(self, subscription_id: str, resumes_at: datetime | None) -> None: ...

    async def resume(self, subscription_id: str, *, paused: bool) -> None: ...

    async def rename(self, customer_id: str, email: str) -> None: ...


class PaymentBooks(Protocol):
    """What the reconciliation reads at a provider: plain JSON, as its deliveries carry it."""

    def subscriptions(self) -> AsyncIterator[dict[str, Any]]:
        """Every subscription that there is, ended ones too."""
        ...

    def events(self, since: datetime, types: list[str]) -> AsyncIterator[dict[str, Any]]:
        """What should have been delivered since then."""
        ...


def declined(decline_code: str | None) -> CallerError:
    return CallerError(
        Code.PAYMENT_FAILED, "The payment was declined", details={"decline_code": decline_code}
    )


class ReferencePayments:
    """Every action succeeds at once; nothing outside is called."""

    async def customer(self, customer: Customer) -> str:
        return f"cus_ref_{customer.user_id}"

    async def checkout(self, customer: Customer, order: Order) -> CheckoutPage:
        session_id = f"cs_ref_{uuid.uuid4()}"
        expires_at = datetime.now(UTC) + timedelta(hours=SESSION_HOURS)
        return CheckoutPage(f"{BASE}/checkout/{session_id}", session_id, expires_at)

    async def portal(self, customer_id: str, return_url: str | None) -> str:
        return f"{BASE}/portal/{customer_id}"

    async def change_price(
        self, customer: Customer, subscription_id: str, price_id: str, attempt: UUID
    ) -> None:
        if DECLINED in customer.email:
            raise declined("card_declined")

    async def schedule_price(self, subscription_id: str, price_id: str, attempt: UUID) -> None:
        """Nothing to do."""

    async def cancel(self, subscription_id: str, *, at_period_end: bool) -> None:
        """Nothing to do."""

    async def pause(self, subscription_id: str, resumes_at: datetime | None) -> None:
        """Nothing to do."""

    async def resume(self, subscription_id: str, *, paused: bool) -> None:
        """Nothing to do."""

    async def rename(self, customer_id: str, email: str) -> None:
        """Nothing to do."""
