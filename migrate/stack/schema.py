"""Databases, schemas and the shipped catalogue of a local stack; every step may be repeated."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from migrate.commands.db_migrate import prepare_store
from migrate.commands.seed import fill
from migrate.stack.databases import ensure_databases
from migrate.stack.environment import StackFacts
from migrate.stack.job import run_job
from migrate.stack.layout import REPOSITORY
from shared.manifest import Manifest

MIGRATION_SECONDS = 120.0
SEED_SECONDS = 300.0
ACTOR = "migrate up"


async def prepare_databases(
    facts: StackFacts, manifest: Manifest, report: Callable[[str], None]
) -> None:
    """Create databases, bring both schemas up to date, register the manifest, load the catalogue."""
    started = time.monotonic()
    await ensure_databases(facts.postgres_url, [facts.shared_name, *facts.own_names.values()])
    await asyncio.gather(
        _job("monolith-migrations", ("monolith.migrations",), facts.shared_url, facts),
        prepare_store(facts.shared_url, manifest, actor=ACTOR),
        *(_platform_tables(service, facts) for service in facts.moving),
    )
    report(f"databases are ready after {time.monotonic() - started:.1f} s")
    started = time.monotonic()
    await asyncio.wait_for(fill(facts.shared_url), SEED_SECONDS)
    report(f"the catalogue is loaded after {time.monotonic() - started:.1f} s")


async def _platform_tables(service: str, facts: StackFacts) -> None:
    """Outbox and inbox of a service's own database; the split brings the tables of its domain."""
    if (REPOSITORY / "services" / service / "migrations.py").exists():
        words = (f"services.{service}.migrations", "platform")
        await _job(f"{service}-migrations", words, facts.own_urls[service], facts)


async def _job(name: str, words: tuple[str, ...], dsn: str, facts: StackFacts) -> None:
    await run_job(
        name,
        (sys.executable, "-m", *words),
        {"DATABASE_URL": dsn, "SHARED_DATABASE_URL": facts.shared_url},
        facts.layout.log_file(name),
        timeout_seconds=MIGRATION_SECONDS,
    )
