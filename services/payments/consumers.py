"""What payments does about events of others (contract, 4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from services.payments import repository
from services.payments.entitlements import change
from services.payments.provider import PaymentProvider
from shared.events.consumer import Handler
from shared.events.envelope import Event
from shared.placement import Connection
from shared.quota import Quotas
from shared.quota.quotas import GrantSource

REFERRAL_BONUS = 5  # chat units for both sides (contract, 4)


class PaymentsEvents:
    """Handlers; each runs in the transaction of its inbox row."""

    def __init__(self, provider: PaymentProvider, quotas: Quotas) -> None:
        self._provider = provider
        self._quotas = quotas

    def handlers(self) -> Mapping[str, Handler]:
        """By event type, as the manifest subscribes."""
        return {
            "referral.confirmed": self.grant_referral,
            "streak.milestone": self.grant_streak,
            "message.sent": self.settle,
            "media.created": self.settle,
            "story.created": self.settle,
            "user.updated": self.rename_customer,
            "user.deleted": self.end_account,
        }

    async def grant_referral(self, connection: Connection, event: Event) -> None:
        referee = str(event.data["referee_id"])
        for user_id in sorted((str(event.data["referrer_id"]), referee)):
            await self._grant(connection, UUID(user_id), REFERRAL_BONUS, "referral", referee)

    async def grant_streak(self, connection: Connection, event: Event) -> None:
        if event.subject is not None:
            source_id = f"{event.data['day']}:{event.data['check_in_day']}"
            bonus = int(event.data["bonus"])
            await self._grant(connection, UUID(event.subject), bonus, "streak", source_id)

    async def settle(self, connection: Connection, event: Event) -> None:
        """A crash between result and charge is repaired here; repeating is harmless."""
        reservation_id = event.data.get("reservation_id")
        if reservation_id is not None:
            tokens = int(event.data.get("tokens") or 0)
            await self._quotas.settle(UUID(reservation_id), tokens, connection=connection)

    async def rename_customer(self, connection: Connection, event: Event) -> None:
        """The provider's customer gets the new address."""
        if event.subject is None or "email" not in event.data["changed"]:
            return
        user_id = UUID(event.subject)
        customer_id = await repository.customer_of(connection, user_id)
        email = await repository.email_of(connection, user_id)
        if customer_id is not None and email:
            await self._provider.rename(customer_id, email)

    async def end_account(self, connection: Connection, event: Event) -> None:
        """Subscriptions end at the provider too, allowances go, transactions stay."""
        if event.subject is None:
            return
        user_id = UUID(event.subject)
        await repository.lock_user(connection, user_id)
        for held in await repository.open_of(connection, user_id):
            if held.provider == "stripe":
                subscription_id = held.provider_subscription_id
                await self._provider.cancel(subscription_id, at_period_end=False)
            now = datetime.now(UTC).replace(microsecond=0)
            state = held.state.but(status="cancelled", pending_tier=None)
            await change(connection, held, state, now)
        await repository.forget_allowances(connection, user_id)

    async def _grant(
        self, connection: Connection, user_id: UUID, amount: int, source: GrantSource, id_: str
    ) -> None:
        """A chat bonus, once per source, for accounts that are still there."""
        if await repository.is_living_user(connection, user_id):
            await self._quotas.grant(user_id, "chat", amount, source, id_, connection=connection)
