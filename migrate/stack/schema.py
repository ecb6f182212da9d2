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
    await asyncio.gather(_monolith(facts), prepare_store(facts.shared_url, manifest, actor=ACTOR))
    report(f"databases are ready after {time.monotonic() - started:.1f} s")
    started = time.monotonic()
    await asyncio.wait_for(fill(facts.shared_url), SEED_SECONDS)
    report(f"the catalogue is loaded after {time.monotonic() - started:.1f} s")


async def _monolith(facts: StackFacts) -> None:
    await _job("monolith-migrations", "monolith.migrations", facts, MIGRATION_SECONDS)


async def _job(name: str, module: str, facts: StackFacts, timeout_seconds: float) -> None:
    await run_job(
        name,
        (sys.executable, "-m", module),
        {"DATABASE_URL": facts.shared_url, "SHARED_DATABASE_URL": facts.shared_url},
        facts.layout.log_file(name),
        timeout_seconds=timeout_seconds,
    )
