"""Sums of whole tables in one database, for backups that are compared with what was restored."""

from __future__ import annotations

from collections.abc import Iterable

from migrate.split.catalogue import read_storages, read_tables
from migrate.split.chunks import plan_chunks
from migrate.split.connection import Connection
from migrate.split.model import MovedTable
from migrate.split.verify.compare import Sums
from migrate.split.verify.hashing import HashMode, sums_sql

#: Longest hash of one piece, in seconds.
CHUNK_SECONDS = 900.0


async def table_sums(
    connection: Connection, moved: Iterable[MovedTable], mode: HashMode = HashMode.RECORD
) -> dict[str, Sums]:
    """Rows and sums of each table, through whatever snapshot the connection has."""
    wanted = list(moved)
    tables = await read_tables(connection, [table.name for table in wanted])
    storages = await read_storages(connection, [table.oid for table in tables.values()])
    names = {table.oid: name for name, table in tables.items()}
    filters = {table.name: table.row_filter for table in wanted}
    sums = {name: Sums() for name in tables}
    for chunk in plan_chunks(storages):
        name = names[chunk.root]
        condition = chunk.condition
        if filters[name]:
            condition = f"({filters[name]}) AND {condition}"
        row = await connection.fetchrow(
            sums_sql(tables[name].stored_columns, mode, chunk.storage.sql, condition),
            timeout=CHUNK_SECONDS,
        )
        if row is not None:
            sums[name].add(row[0], row[1], row[2])
    return {str(name): found for name, found in sums.items()}
