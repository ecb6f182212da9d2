"""Settings of the payments service and its worker beyond those of every app."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from shared.events.worker import WorkerSettings
from shared.settings import AppSettings, BaseUrl, Names

PORT = 8003


class ProviderSettings(AppSettings):
    """How the payment provider is reached; a key is needed unless PROVIDERS is `reference`."""

    stripe_secret_key: SecretStr | None = None
    stripe_api_base: BaseUrl | None = None  # default: Stripe's own address

    @model_validator(mode="after")
    def _live_needs_a_key(self) -> Self:
        if self.providers == "live" and self.stripe_secret_key is None:
            raise ValueError("STRIPE_SECRET_KEY is needed with PROVIDERS=live")
        return self


class PaymentsSettings(ProviderSettings):
    """Of the web process. A field `return_hosts` is the variable `RETURN_HOSTS`."""

    manifest: Path = Path("migration.toml")
    return_hosts: Names = ()  # where people may be sent after paying; default: the allowed origins
    payments_livemode: bool = False  # deliveries of the other mode are refused

    @property
    def hosts_of_return(self) -> frozenset[str]:
        """Host names that an address of return may have."""
        origins = (urlsplit(origin).hostname for origin in self.allowed_origins)
        return frozenset(self.return_hosts) or frozenset(host for host in origins if host)


class PaymentsWorkerSettings(ProviderSettings, WorkerSettings):
    """Of the worker and of `python -m services.payments.reconcile`."""

    revenuecat_api_key: SecretStr | None = None  # the reconciliation of the app stores needs it
    revenuecat_base_url: BaseUrl = "https://api.revenuecat.com/v1"
    reconcile_minutes: float = Field(default=60.0, gt=0, le=24 * 60)
