"""Reads what the index holds about titles, characters and actors, and what has changed; SQL only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.content.models import Row, actor_entry, character_entry, title_entry
from services.content.search.entries import Entry, Kind
from shared.placement.connection import Connection

#: Rows that are turned into entries without a pause for other work: about 5 ms.
BATCH_ROWS = 1000

Stamp = int  # updated_at in microseconds since 1970


@dataclass(frozen=True, slots=True)
class Total:
    """Number of rows of a table and the sum of their stamps: differs whenever a row does."""

    rows: int
    stamps: int


@dataclass(frozen=True, slots=True)
class _Source:
    columns: str
    table: str
    entry: Callable[[Row], Entry]


_SOURCES = {
    Kind.TITLE: _Source(
        "id, title, title_norm, year, format, category, poster_url, popularity",
        "titles",
        title_entry,
    ),
    Kind.CHARACTER: _Source(
        "id, name, name_norm, series, title_id, image_url, popularity, source",
        "characters",
        character_entry,
    ),
    Kind.ACTOR: _Source("id, name, name_norm, image_url, popularity", "actors", actor_entry),
}

_STAMP = "(extract(epoch FROM updated_at) * 1000000)::bigint"
_TOTALS = " UNION ALL ".join(
    f"SELECT {kind.value} AS kind, count(*) AS row_count,"  # noqa: S608 - constants
    f" coalesce(sum({_STAMP}), 0) AS stamps FROM {source.table}"
    for kind, source in _SOURCES.items()
)


async def totals(connection: Connection) -> dict[Kind, Total]:
    """The totals of all three tables."""
    rows = await connection.fetch(_TOTALS)
    return {Kind(row["kind"]): Total(row["row_count"], int(row["stamps"])) for row in rows}


async def entries_since(
    connection: Connection, kind: Kind, moment: datetime
) -> list[tuple[Entry, Stamp]]:
    """Entries whose row was written at or after a moment."""
    return await _entries(connection, kind, "updated_at >= $1", moment)


async def entries_with(
    connection: Connection, kind: Kind, ids: Collection[str]
) -> list[tuple[Entry, Stamp]]:
    """The entries with these ids."""
    return await _entries(connection, kind, "id = ANY ($1::uuid[])", list(ids))


async def all_entries(connection: Connection, kind: Kind) -> list[tuple[Entry, Stamp]]:
    """Every entry of one kind; other work runs between batches. Needs a transaction."""
    source = _SOURCES[kind]
    sql = f"SELECT {source.columns}, {_STAMP} AS stamp FROM {source.table}"  # noqa: S608 - constants
    return [
        (source.entry(row), row["stamp"])
        async for batch in _batches(connection, sql)
        for row in batch
    ]


async def all_stamps(connection: Connection, kind: Kind) -> dict[str, Stamp]:
    """Id and stamp of every row of one kind, in batches as all_entries. Needs a transaction."""
    sql = f"SELECT id, {_STAMP} AS stamp FROM {_SOURCES[kind].table}"  # noqa: S608 - constants
    return {
        str(row["id"]): row["stamp"] async for batch in _batches(connection, sql) for row in batch
    }


async def _entries(
    connection: Connection, kind: Kind, condition: str, value: object
) -> list[tuple[Entry, Stamp]]:
    source = _SOURCES[kind]
    rows = await connection.fetch(
        f"SELECT {source.columns}, {_STAMP} AS stamp FROM {source.table}"  # noqa: S608 - constants
        f" WHERE {condition}",
        value,
    )
    return [(source.entry(row), row["stamp"]) for row in rows]


async def _batches(connection: Connection, sql: str) -> AsyncIterator[list[asyncpg.Record]]:
    cursor = await connection.cursor(sql)
    while batch := await cursor.fetch(BATCH_ROWS):
        yield batch
