"""`migrate seed`: the shipped catalogue, and people with everything that is theirs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import asyncpg
import typer

from migrate.context import get_context, run
from migrate.report import console, print_json, print_table
from migrate.seed.catalogue import read_catalogue
from migrate.seed.load_catalogue import LoadedTable, load_catalogue

CONNECT_SECONDS = 10.0


async def fill(dsn: str) -> tuple[LoadedTable, ...]:
    """Load the catalogue into the database of `dsn`."""
    catalogue = read_catalogue()
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_SECONDS, server_settings={"application_name": "strangler/seed"}
    )
    try:
        return await load_catalogue(connection, catalogue)
    finally:
        await connection.close()


def seed(
    database: Annotated[
        str | None,
        typer.Option("--database", help="DSN to fill; default: SHARED_DATABASE_URL."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load the catalogue; running it again changes nothing."""
    started = time.monotonic()
    tables = run(fill(database or get_context().shared_dsn))
    seconds = round(time.monotonic() - started, 2)
    if as_json:
        print_json({"tables": [asdict(table) for table in tables], "seconds": seconds})
        return
    print_table(
        "", ("table", "rows", "new or changed"), ((t.table, t.rows, t.changed) for t in tables)
    )
    console.print(f"done in {seconds} s")
