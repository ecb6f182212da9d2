"""Carries deletions over the boundary: from the delete log of a cut key to the children of the row that went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import asyncpg

from migrate.split.connection import Connection, connected
from migrate.split.context import SplitContext
from migrate.split.crossing import CrossingKey, Fate, fate
from migrate.split.model import SplitError
from migrate.split.names import Side, TableName, quote
from migrate.split.scaffold import TABLES_MOVED
from migrate.split.switch import read_ownership

#: Kind of the clean-up record of a crossing key; its definition holds the key as JSON.
KIND = "crossing key"
#: What the shared database says of children that another split has taken away: fenced, or renamed.
MOVED_ON = frozenset({TABLES_MOVED, asyncpg.UndefinedTableError.sqlstate})
#: Deletions that the cleaner carries over in one go.
BATCH_ROWS = 500


async def recorded_keys(context: SplitContext) -> list[CrossingKey]:
    """Keys that were cut, from the clean-up records."""
    shared = await context.control(Side.SHARED)
    rows = await shared.fetch(
        f"SELECT definition FROM {context.names.relation('object')} WHERE kind = $1 ORDER BY identity",
        KIND,
    )
    keys = []
    for row in rows:
        fields = json.loads(row["definition"])
        fields |= {
            "child": TableName(**fields["child"]),
            "parent": TableName(**fields["parent"]),
            "child_columns": tuple(fields["child_columns"]),
            "child_types": tuple(fields["child_types"]),
            "parent_columns": tuple(fields["parent_columns"]),
        }
        keys.append(CrossingKey(**fields))
    return keys


async def waiting_deletions(context: SplitContext) -> dict[str, int]:
    """Logged deletions that nobody has carried over yet, by key; keys without any left out."""
    log = context.names.relation("deleted")
    found: Counter[str] = Counter()
    for side in Side:
        connection = await context.control(side)
        if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", log):
            rows = await connection.fetch(f"SELECT key_name, count(*) AS n FROM {log} GROUP BY 1")
            found.update({row["key_name"]: row["n"] for row in rows})
    return dict(found)


async def clean(context: SplitContext) -> int:
    """Carry logged deletions over to the children, wherever they live now; returns how many."""
    ownership = await read_ownership(context)
    if ownership.owner is None:
        return 0
    cleaned = 0
    for key in await recorded_keys(context):
        if fate(key, context.spec.deletion_events) is not Fate.LOOSE:
            continue
        parents = Side.SHARED if key.is_outgoing else ownership.owner
        children = ownership.owner if key.is_outgoing else Side.SHARED
        cleaned += await _clean_one(context, key, parents, children)
    return cleaned


async def _clean_one(context: SplitContext, key: CrossingKey, parents: Side, children: Side) -> int:
    """Children first, then the log: doing it twice does no harm."""
    log = context.names.relation("deleted")
    source, target = await context.control(parents), await context.control(children)
    if not await source.fetchval("SELECT to_regclass($1) IS NOT NULL", log):
        return 0
    cleaned = 0
    while True:
        rows = await source.fetch(
            f"SELECT id, key::text AS key FROM {log} WHERE key_name = $1 ORDER BY id LIMIT {BATCH_ROWS}",
            key.name,
        )
        if not rows:
            return cleaned
        values = [[None if v is None else str(v) for v in json.loads(row["key"])] for row in rows]
        try:
            await _clean_rows(target, key, values)
        except asyncpg.PostgresError as error:
            if error.sqlstate not in MOVED_ON:
                raise
            await _clean_at_neighbour(context, key, values)
        await source.execute(
            f"DELETE FROM {log} WHERE id = ANY ($1::bigint[])", [row["id"] for row in rows]
        )
        cleaned += len(rows)


async def _clean_rows(
    target: Connection, key: CrossingKey, rows: Sequence[Sequence[str | None]]
) -> None:
    for values in rows:
        await target.execute(_clean_sql(key), *values)


async def _clean_at_neighbour(
    context: SplitContext, key: CrossingKey, rows: Sequence[Sequence[str | None]]
) -> None:
    """The children have moved out of the shared database since, with a service of their own."""
    endpoint = context.neighbours.get(key.child)
    if endpoint is None:
        raise SplitError(
            f"deletions in {key.parent} cannot be carried over to {key.child}, which has moved to"
            " another service's database; set DATABASE_URL_<SERVICE> of that service and run"
            f" `migrate db clean {context.spec.service}`"
        )
    async with connected(endpoint, "clean") as connection:
        await _clean_rows(connection, key, rows)


def _clean_sql(key: CrossingKey) -> str:
    """Delete or empty the children of one parent, whose key comes as text."""
    match = " AND ".join(
        f"{quote(column)} = ${n}::text::{type_}"
        for n, (column, type_) in enumerate(zip(key.child_columns, key.child_types, strict=True), 1)
    )
    if key.on_delete == "cascade":
        return f"DELETE FROM {key.child.sql} WHERE {match}"
    value = "NULL" if key.on_delete == "set null" else "DEFAULT"
    changes = ", ".join(f"{quote(column)} = {value}" for column in key.child_columns)
    return f"UPDATE {key.child.sql} SET {changes} WHERE {match}"
