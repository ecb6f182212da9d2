"""Rehearses a switch, there and back and there again, on copies of both databases or on the real pair."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from migrate.split.connection import connected
from migrate.split.context import SplitContext
from migrate.split.desk import Desk
from migrate.split.dump import find_client, run_program
from migrate.split.names import Direction, Side
from migrate.split.operations import operation, run_split, run_switch
from migrate.split.scratch import (
    PREFIX,
    SchemaArchive,
    run_script,
    scratch_database,
    table_oids,
)
from migrate.split.switch import SwitchOptions, read_ownership
from migrate.split.toc import Round
from shared.control.migrations import migrate
from shared.control.store import ControlStore

#: Longest copy of the rows into the scratch database, in seconds.
COPY_SECONDS = 24 * 3600.0
THERE_BACK_THERE = (Direction.FORWARD, Direction.REVERSE, Direction.FORWARD)


async def rehearse_on_copy(context: SplitContext) -> dict[str, Any]:
    """Split and switch scratch copies on the same servers; the real tables are only read."""
    async with operation(context, "rehearse") as (journal, row), _copies(context) as copy:
        outcome = await run_split(copy, direct=True)
        switches = await _switch(copy, THERE_BACK_THERE)
        report = _report("copy", switches)
        report["copy_rows_per_second"] = outcome.data.get("copy", {}).get("rows_per_second")
        await journal.remember(row.id, report)
        await journal.finish(row.id, "done")
    return report


async def rehearse_now(
    context: SplitContext, options: SwitchOptions | None = None
) -> dict[str, Any]:
    """Switch the real pair, there and back; it ends where it began."""
    ownership = await read_ownership(context)
    first = Direction.FORWARD if ownership.owner is Side.SHARED else Direction.REVERSE
    switches = await _switch(context, (first, first.opposite), options)
    return _report("now", switches)


async def _switch(
    context: SplitContext,
    directions: tuple[Direction, ...],
    options: SwitchOptions | None = None,
) -> list[dict[str, Any]]:
    found = []
    for direction in directions:
        outcome, report = await run_switch(context, direction, options)
        found.append({**report, "canary": outcome.data.get("proof", {})})
    return found


def _report(kind: str, switches: list[dict[str, Any]]) -> dict[str, Any]:
    pauses = [entry["pause_ms"] for entry in switches if entry["pause_ms"] is not None]
    return {
        "rehearsal": kind,
        "switches": switches,
        "worst_pause_ms": max(pauses, default=None),
        "lost": sum(entry["canary"].get("lost", 0) for entry in switches),
    }


@asynccontextmanager
async def _copies(context: SplitContext) -> AsyncIterator[SplitContext]:
    """A split context over two scratch databases, the shared one filled with the service's rows."""
    base = f"{PREFIX}{context.spec.service}_{context.names.tag}"
    async with (
        scratch_database(context.endpoints[Side.SHARED], f"{base}_a") as shared,
        scratch_database(context.endpoints[Side.OWN], f"{base}_b") as own,
    ):
        await _fill(context, shared.dsn)
        await migrate(shared.dsn)
        store = await ControlStore.connect(shared.dsn)
        copy: SplitContext | None = None
        try:
            actor = context.control_desk.actor
            await store.register([], [context.spec.service], [], actor=actor)
            copy = await SplitContext.open(
                context.spec,
                shared,
                own,
                limits=context.limits,
                observer=context.observer,
                desk=Desk(store, context.spec.service, actor),
            )
            yield copy
        finally:
            if copy is not None:
                await copy.close()
            await store.close()


async def _fill(context: SplitContext, dsn: str) -> None:
    """Schema and rows of the moved tables, as of one moment."""
    source = context.endpoints[Side.SHARED]
    target = type(source)(Side.SHARED, dsn)
    major = context.facts[Side.SHARED].major
    with tempfile.TemporaryDirectory(prefix="split-rehearse-") as folder:
        async with connected(source, "rehearse") as reader:
            await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            snapshot = await reader.fetchval("SELECT pg_export_snapshot()")
            option = [f"--snapshot={snapshot}"]
            archive = await SchemaArchive.dump(source, Path(folder) / "schema.dump", major, option)
            oids = await table_oids(reader, context.spec.tables)
            await run_script(target, await archive.statements(oids, [Round.BEFORE_COPY]))
            rows = Path(folder) / "rows.dump"
            patterns = [f"--table={table.name.sql}" for table in context.spec.tables]
            await run_program(
                find_client("pg_dump", major),
                ["-Fc", "-Z0", "-a", "-f", str(rows), *option, *patterns],
                source,
                seconds=COPY_SECONDS,
            )
        await run_program(
            find_client("pg_restore", major),
            ["-a", "--no-owner", "--exit-on-error", str(rows)],
            target,
            seconds=COPY_SECONDS,
        )
        rest = [Round.AFTER_COPY, Round.AFTER_CATCH_UP]
        await run_script(target, await archive.statements(oids, rest))
