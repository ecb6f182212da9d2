"""The payment provider of this process, chosen by settings."""

from __future__ import annotations

from monolith.payments.provider import PaymentProvider, ReferencePayments
from monolith.settings import Settings, SettingsError


class Till:
    """Holds the provider."""

    def __init__(self, settings: Settings) -> None:
        self.provider: PaymentProvider
        if settings.providers == "reference":
            self.provider = ReferencePayments()
            return
        from monolith.payments.stripe_provider import StripePayments

        key = settings.provider_keys.get("STRIPE_SECRET_KEY")
        if not key:
            raise SettingsError("STRIPE_SECRET_KEY is not set: give it, or PROVIDERS=reference")
        self.provider = StripePayments(
            key, settings.public_base_url, settings.provider_keys.get("STRIPE_API_BASE")
        )

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        await self.provider.close()
