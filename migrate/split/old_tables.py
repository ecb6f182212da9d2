"""Tables that a finalized split has left behind on the shared database: finding and dropping them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from migrate.split import loose_keys
from migrate.split.backup import back_up
from migrate.split.context import SplitContext
from migrate.split.model import MovedTable, SplitError, StateError
from migrate.split.names import Side, TableName
from shared.states import DataState

#: Name of a table that was left behind: prefix, old name, day.
OLD = re.compile(r"^_split_old_(?P<name>.+)_(?P<day>\d{8})$")


def old_name(name: str, day: str) -> str:
    """The name of an old table; long names are cut, PostgreSQL takes 63 bytes."""
    return f"_split_old_{name[: 63 - len('_split_old__') - len(day)]}_{day}"


@dataclass(frozen=True, slots=True)
class OldTable:
    """A table that was left behind, and the day of its renaming."""

    table: TableName
    was: str
    day: str
    total_bytes: int


async def old_tables(
    connection: asyncpg.Connection[asyncpg.Record], moved: tuple[MovedTable, ...]
) -> list[OldTable]:
    """Old tables of this service that are still there."""
    rows = await connection.fetch(
        "SELECT n.nspname AS schema, c.relname AS name, pg_total_relation_size(c.oid) AS bytes"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname LIKE '\\_split\\_old\\_%' AND c.relkind IN ('r', 'p') ORDER BY 1, 2"
    )
    mine = {(table.name.schema, table.name.name[:43]): table.name.name for table in moved}
    found = []
    for row in rows:
        match = OLD.match(row["name"])
        if match and (was := mine.get((row["schema"], match["name"][:43]))):
            name = TableName(row["schema"], row["name"])
            found.append(OldTable(name, was, match["day"], row["bytes"]))
    return found


async def drop_old_tables(
    context: SplitContext, backups: Path, *, check_backup: bool = True
) -> dict[str, Any]:
    """Back the old tables up once more, restore and compare the backup, and drop them."""
    placement = await context.control_desk.placement()
    if placement.state is not DataState.FINAL:
        raise StateError(
            f"the tables of {context.spec.service} are {placement.state}, not final;"
            f" `migrate db finalize {context.spec.service}` comes first"
        )
    shared = await context.control(Side.SHARED)
    found = await old_tables(shared, context.spec.tables)
    if not found:
        return {"dropped": []}
    tables = tuple(MovedTable(entry.table) for entry in found)
    backup = await back_up(context, Side.SHARED, tables, backups, check=check_backup)
    names = ", ".join(entry.table.sql for entry in found)
    try:
        await loose_keys.patiently(context, shared, [f"DROP TABLE {names}"])
    except asyncpg.DependentObjectsStillExistError as error:
        raise SplitError(
            f"the old tables cannot be dropped: {error.detail or error}; drop what depends on them"
            " and run the command again"
        ) from error
    return {"dropped": [str(entry.table) for entry in found], "backup": backup.as_json()}
