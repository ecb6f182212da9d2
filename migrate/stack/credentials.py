"""Secrets of one local stack: generated once, kept in a file of mode 0600, never printed."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from migrate.stack.env_file import write_private


class Credentials(BaseModel):
    """What the processes of a stack share. HS256 keys have 32 bytes and more (contract, 1.4)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jwt_secret: str
    admin_token: str
    override_secret: str
    identity_secret: str
    webhook_stripe: str
    webhook_revenuecat: str
    webhook_supabase: str
    webhook_clerk: str


def generate() -> Credentials:
    """New random secrets in the notation of each vendor."""
    return Credentials(
        jwt_secret=secrets.token_urlsafe(48),
        admin_token=secrets.token_urlsafe(32),
        override_secret=secrets.token_urlsafe(48),
        identity_secret=secrets.token_urlsafe(48),
        webhook_stripe=f"whsec_{secrets.token_hex(24)}",
        webhook_revenuecat=secrets.token_urlsafe(32),
        webhook_supabase=f"v1,{_standard_webhook_secret()}",
        webhook_clerk=_standard_webhook_secret(),
    )


def _standard_webhook_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def load_or_generate(path: Path) -> Credentials:
    """The secrets of the file; a first call writes it."""
    if path.exists():
        return Credentials.model_validate_json(path.read_bytes())
    credentials = generate()
    write_private(path, credentials.model_dump_json(indent=2))
    return credentials
