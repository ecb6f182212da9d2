"""Settings of the stand-ins, read from the environment; knows none of the vendors' formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PORT = 9600
#: Pauses before the tries after the first, in seconds: quick, as a person watches.
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: A secret of nobody: 32 bytes in the encoding of Standard Webhooks.
STANDARD_SECRET = "whsec_c3RhbmQtaW4tc2VjcmV0LW9mLXN1cGFiYXNlLWF1dGg="  # noqa: S105
STRIPE_SECRET = "whsec_stand_in_of_stripe"  # noqa: S105
REVENUECAT_SECRET = "Bearer stand-in-of-revenuecat"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a vendor's webhooks go; `secret` signs them. Never shown."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StandInSettings:
    """`smtp_port` None switches the mail sink off; 0 takes a free port."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    smtp_port: int | None = None
    outbox: Path = Path(".stack/outbox")
    public_url: str = ""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    retry_seconds: tuple[float, ...] = RETRY_SECONDS
    slow_seconds: float = 2.0
    hold_seconds: float = 60.0

    @property
    def url(self) -> str:
        """The address that clients reach, without a slash at its end."""
        return self.public_url or f"http://{self.host}:{self.port}"


def read_settings(environment: Mapping[str, str]) -> StandInSettings:
    """Read HOST, PORT, SMTP_PORT, MAIL_OUTBOX, PUBLIC_BASE_URL and the webhook variables.

    `<PROVIDER>_WEBHOOK_URL` names the receiver of Stripe, Supabase, Clerk and RevenueCat,
    `WEBHOOK_SECRETS_<PROVIDER>` the secrets that the apps know; the first one that can sign is used.
    Raises ValueError.
    """
    smtp_port = environment.get("SMTP_PORT")
    pauses = environment.get("WEBHOOK_RETRY_SECONDS")
    return StandInSettings(
        host=environment.get("HOST") or "127.0.0.1",
        port=int(environment.get("PORT") or DEFAULT_PORT),
        smtp_port=int(smtp_port) if smtp_port else None,
        outbox=Path(environment.get("MAIL_OUTBOX") or ".stack/outbox"),
        public_url=(environment.get("PUBLIC_BASE_URL") or "").rstrip("/"),
        endpoints=_endpoints(environment),
        retry_seconds=tuple(map(float, pauses.split(","))) if pauses else RETRY_SECONDS,
        slow_seconds=float(environment.get("SLOW_SECONDS") or 2.0),
        hold_seconds=float(environment.get("HOLD_SECONDS") or 60.0),
    )


def _endpoints(environment: Mapping[str, str]) -> dict[str, Endpoint]:
    defaults = {
        "stripe": STRIPE_SECRET,
        "supabase": STANDARD_SECRET,
        "clerk": STANDARD_SECRET,
        "revenuecat": REVENUECAT_SECRET,
    }
    found: dict[str, Endpoint] = {}
    for provider, default in defaults.items():
        url = environment.get(f"{provider.upper()}_WEBHOOK_URL")
        if url:
            given = environment.get(f"WEBHOOK_SECRETS_{provider.upper()}", "")
            secrets = [one.strip() for one in re.split(r"[,|]", given) if one.strip()]
            if provider != "revenuecat":  # its value is compared, those of the others sign
                secrets = [one for one in secrets if one.startswith("whsec_")]
            found[provider] = Endpoint(url, secrets[0] if secrets else default)
    return found
