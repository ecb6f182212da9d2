"""`migrate db migrate`: the control store's schema, and a row for every entry of the manifest."""

from __future__ import annotations

from typing import Annotated

import typer

from migrate.context import Context, get_context, run
from migrate.report import console, print_json
from shared.control.migrations import migrate, migration_files
from shared.control.store import ControlStore, RouteFact
from shared.manifest import Manifest


def route_facts(manifest: Manifest) -> tuple[RouteFact, ...]:
    """What the control store must know about the routes of a manifest."""
    return tuple(RouteFact(row.name, row.service, row.writes) for row in manifest.routes)


async def prepare_store(dsn: str, manifest: Manifest, *, actor: str) -> tuple[list[str], list[str]]:
    """(applied files, registered entries); safe to run twice at the same time."""
    applied = await migrate(dsn)
    store = await ControlStore.connect(dsn)
    try:
        change = await store.register(
            route_facts(manifest),
            manifest.services,
            (phase.number for phase in manifest.phases),
            actor=actor,
        )
    finally:
        await store.close()
    return applied, list(change.changed)


async def _pending(context: Context) -> dict[str, list[str]]:
    """What a real run would do, without doing it."""
    store = await ControlStore.connect(context.shared_dsn)
    try:
        async with store.pool.acquire() as connection:
            exists = await connection.fetchval(
                "SELECT to_regclass('strangler.schema_migrations') IS NOT NULL"
            )
            done = (
                await connection.fetch("SELECT name FROM strangler.schema_migrations")
                if exists
                else []
            )
        state = await store.state() if exists else None
        phases = await store.phases() if exists else ()
    finally:
        await store.close()
    names = {row["name"] for row in done}
    known = set(state.flags) | set(state.placements) if state else set()
    known |= {f"phase {phase.number}" for phase in phases}
    wanted = [row.name for row in context.manifest.routes] + list(context.manifest.services)
    wanted += [f"phase {phase.number}" for phase in context.manifest.phases]
    return {
        "applied": [name for name, _ in migration_files() if name not in names],
        "registered": [name for name in wanted if name not in known],
    }


def migrate_schemas(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create or update the control store and register every route, service and phase."""
    context = get_context()
    manifest = context.manifest
    if dry_run:
        done = run(_pending(context))
    else:
        applied, registered = run(prepare_store(context.shared_dsn, manifest, actor=context.actor))
        done = {"applied": applied, "registered": registered}
    if as_json:
        print_json(done)
        return
    verb = "would be " if dry_run else ""
    for name in done["applied"]:
        console.print(f"{verb}applied {name}")
    if done["registered"]:
        console.print(f"{verb}registered {len(done['registered'])} entries of the manifest")
    if not any(done.values()):
        console.print("the control store is up to date")
