"""Puts the shipped catalogue into titles, actors and characters; loading twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import asyncpg

from migrate.seed.catalogue import Catalogue
from migrate.seed.catalogue_rows import (
    ACTOR_COLUMNS,
    CHARACTER_COLUMNS,
    TITLE_COLUMNS,
    Row,
    actor_rows,
    character_rows,
    title_rows,
)


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """What one table got: rows shipped, and those that were new or different."""

    table: str
    rows: int
    changed: int


async def load_catalogue(
    connection: asyncpg.Connection, catalogue: Catalogue
) -> tuple[LoadedTable, ...]:
    """Upsert everything in one transaction; rows that are as shipped keep their `updated_at`."""
    async with connection.transaction():
        return (
            await _upsert(connection, "titles", TITLE_COLUMNS, title_rows(catalogue)),
            await _upsert(connection, "actors", ACTOR_COLUMNS, actor_rows(catalogue)),
            await _upsert(connection, "characters", CHARACTER_COLUMNS, character_rows(catalogue)),
        )


async def _upsert(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Iterator[Row]
) -> LoadedTable:
    """COPY into a temporary table, then one INSERT; table and columns are constants of this package."""
    incoming = f"incoming_{table}"
    names = ", ".join(columns)
    await connection.execute(
        f"CREATE TEMPORARY TABLE {incoming} ON COMMIT DROP AS SELECT {names} FROM {table} LIMIT 0"  # noqa: S608
    )
    found = list(rows)
    await connection.copy_records_to_table(incoming, records=found, columns=list(columns))
    values = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns[1:])
    old = ", ".join(f"{table}.{name}" for name in columns[1:])
    new = ", ".join(f"EXCLUDED.{name}" for name in columns[1:])
    status = await connection.execute(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {incoming}"  # noqa: S608
        f" ON CONFLICT (id) DO UPDATE SET {values} WHERE ({old}) IS DISTINCT FROM ({new})"
    )
    return LoadedTable(table, len(found), int(status.rsplit(" ", 1)[1]))
