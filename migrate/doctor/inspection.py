"""Everything that `migrate doctor` looks at in one run; prints nothing."""

from __future__ import annotations

import asyncio

from migrate.context import Context
from migrate.doctor.addresses import address_findings
from migrate.doctor.cache import redis_findings
from migrate.doctor.databases import database_findings
from migrate.doctor.finding import Finding
from migrate.doctor.limits import limit_findings
from migrate.doctor.secrets import (
    backend_findings,
    token_secret_findings,
    webhook_secret_findings,
)
from migrate.events_desk import open_desk
from migrate.events_findings import findings as event_findings

PROVIDERS = ("stripe", "revenuecat", "supabase", "clerk")


async def inspect(context: Context) -> list[Finding]:
    """Every finding of one run, in a fixed order."""
    manifest = context.manifest
    secrets = {
        name: _split(context.setting(f"WEBHOOK_SECRETS_{name.upper()}"), "|,") for name in PROVIDERS
    }
    found = [
        *backend_findings(),
        *token_secret_findings(_split(context.setting("JWT_SECRETS"), ",")),
        *webhook_secret_findings(manifest, secrets),
        *limit_findings(manifest),
    ]
    groups = await asyncio.gather(
        _databases(context),
        redis_findings(context.require("REDIS_URL", "the shared Redis")),
        _events(context),
        address_findings(manifest, context.require("PUBLIC_BASE_URL", "the public address")),
    )
    return [*found, *(finding for group in groups for finding in group)]


async def _databases(context: Context) -> list[Finding]:
    found = await database_findings("shared", context.shared_dsn, is_shared=True)
    for name in context.manifest.services:
        dsn = context.setting(f"DATABASE_URL_{name.upper()}")
        if dsn:
            found += await database_findings(name, dsn, is_shared=False)
    return found


async def _events(context: Context) -> list[Finding]:
    async with open_desk(context, databases=True) as desk:
        return await event_findings(desk)


def _split(value: str | None, separators: str) -> list[str]:
    text = value or ""
    for separator in separators[1:]:
        text = text.replace(separator, separators[0])
    return [part.strip() for part in text.split(separators[0]) if part.strip()]
