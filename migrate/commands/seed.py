"""`migrate seed`: the shipped catalogue, and people with everything that is theirs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import asyncpg
import typer

from migrate.context import get_context, run
from migrate.report import console, print_json, print_table
from migrate.seed.catalogue import read_catalogue
from migrate.seed.errors import SeedDatabaseError, SeedRefusedError
from migrate.seed.load_catalogue import LoadedTable, load_catalogue
from migrate.seed.load_people import DEMO_PASSWORD, SeededPeople, load_people
from shared.placement.database import TABLES_MOVED

CONNECT_SECONDS = 10.0


async def fill(dsn: str) -> tuple[LoadedTable, ...]:
    """Load the catalogue into the database of `dsn`."""
    async with _connected(dsn) as connection:
        return await load_catalogue(connection, read_catalogue())


async def populate(dsn: str, users: int, random_seed: int, until: datetime) -> SeededPeople:
    """Make people in the database of `dsn`, which has the catalogue; see load_people."""
    async with _connected(dsn) as connection:
        return await load_people(connection, users, random_seed, until)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection; database errors become errors that say what to do next."""
    try:
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_SECONDS, server_settings={"application_name": "strangler/seed"}
        )
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise SeedDatabaseError(type(error).__name__) from error
    try:
        yield connection
    except asyncpg.UndefinedTableError as error:
        raise SeedRefusedError(
            "the database has no tables yet", "Run `migrate up`, or `python -m monolith.migrations`"
        ) from error
    except asyncpg.PostgresError as error:
        if error.sqlstate != TABLES_MOVED:
            raise
        raise SeedRefusedError(
            "tables to fill have moved to a service's own database",
            "Seed before the split, or roll the split back first",
        ) from error
    finally:
        await connection.close()


def seed(
    database: Annotated[
        str | None,
        typer.Option("--database", help="DSN to fill; default: SHARED_DATABASE_URL."),
    ] = None,
    users: Annotated[
        int,
        typer.Option("--users", min=0, help="People to make; about 100 messages for each."),
    ] = 0,
    random_seed: Annotated[
        int, typer.Option("--random-seed", min=0, help="The same seed makes the same people.")
    ] = 1,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until", formats=["%Y-%m-%d"], help="Day before which all happens; default: today."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load the catalogue and make people; running it again changes nothing."""
    started = time.monotonic()
    dsn = database or get_context().shared_dsn
    tables = run(fill(dsn))
    people: SeededPeople | None = None
    if users:
        moment = until or datetime.now(UTC)
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
        people = run(populate(dsn, users, random_seed, midnight))
    seconds = round(time.monotonic() - started, 2)
    if as_json:
        made = asdict(people) if people is not None else None
        loaded = [asdict(table) for table in tables]
        print_json({"tables": loaded, "people": made, "seconds": seconds})
        return
    print_table(
        "", ("table", "rows", "new or changed"), ((t.table, t.rows, t.changed) for t in tables)
    )
    if people is not None:
        _print_people(people)
    console.print(f"done in {seconds} s")


def _print_people(people: SeededPeople) -> None:
    if people.was_there:
        console.print(f"the {people.users} people of seed {people.random_seed} are there already")
        return
    print_table("", ("table", "rows"), people.rows.items())
    console.print(f"everybody's password is {DEMO_PASSWORD}")
