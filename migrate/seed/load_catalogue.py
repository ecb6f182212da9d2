"""Puts the shipped catalogue into titles, actors and characters; loading twice changes nothing.

Rows that a catalogue provider has adopted meanwhile (they have its id) are newer and stay.
"""

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

#: Which old rows `o` may be overwritten.
_OURS = "o.tmdb_id IS NULL"
_OUR_TITLES = (
    "NOT EXISTS (SELECT 1 FROM titles t WHERE t.id = o.title_id AND t.tmdb_id IS NOT NULL)"
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
            await _upsert(connection, "titles", TITLE_COLUMNS, title_rows(catalogue), _OURS),
            await _upsert(connection, "actors", ACTOR_COLUMNS, actor_rows(catalogue), _OURS),
            await _upsert(
                connection,
                "characters",
                CHARACTER_COLUMNS,
                character_rows(catalogue),
                _OUR_TITLES,
            ),
        )


async def _upsert(
    connection: asyncpg.Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterator[Row],
    is_ours: str,
) -> LoadedTable:
    """COPY into a temporary table, then one INSERT of what differs; all SQL is constants of this module."""
    incoming = f"incoming_{table}"
    names = ", ".join(columns)
    await connection.execute(
        f"CREATE TEMPORARY TABLE {incoming} ON COMMIT DROP AS SELECT {names} FROM {table} LIMIT 0"  # noqa: S608
    )
    found = list(rows)
    await connection.copy_records_to_table(incoming, records=found, columns=list(columns))
    new = ", ".join(f"i.{name}" for name in columns)
    old = ", ".join(f"o.{name}" for name in columns)
    different = (
        f"FROM {incoming} i LEFT JOIN {table} o USING (id)"
        f" WHERE o.id IS NULL OR (({old}) IS DISTINCT FROM ({new}) AND {is_ours})"
    )
    differing = await connection.fetchval(f"SELECT count(*) {different}")
    if differing:  # an INSERT of nothing would still need the right to write
        values = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns[1:])
        await connection.execute(
            f"INSERT INTO {table} ({names}) SELECT {new} {different}"
            f" ON CONFLICT (id) DO UPDATE SET {values}"
        )
    return LoadedTable(table, len(found), int(differing))
