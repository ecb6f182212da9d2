"""Tells when the shape of the tables changes while they move; decides nothing."""

from __future__ import annotations

import hashlib

from migrate.split.connection import Connection
from migrate.split.context import SplitContext
from migrate.split.names import Side

#: Columns, constraints, indexes and triggers of a table, without what a split adds itself.
SHAPE = """
SELECT 'column ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
  || ' ' || a.attgenerated::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS line
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = $1::regclass AND contype <> 'f' AND contype <> 'n'
UNION ALL SELECT 'identity ' || relreplident::text FROM pg_class WHERE oid = $1::regclass
UNION ALL SELECT 'trigger ' || tgname || ' ' || tgenabled::text FROM pg_trigger
WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgname NOT LIKE 'zz\\_split\\_fence\\_%'
ORDER BY 1
"""


async def read_shape(connection: Connection, context: SplitContext) -> dict[str, list[str]]:
    """Lines that describe each moved table, by name."""
    return {
        str(table.name): [row["line"] for row in await connection.fetch(SHAPE, table.name.sql)]
        for table in context.spec.tables
    }


def fingerprint(shape: dict[str, list[str]]) -> str:
    """A short digest of a shape."""
    text = "\n".join(f"{name}: {line}" for name, lines in sorted(shape.items()) for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def columns_of(shape: dict[str, list[str]]) -> dict[str, list[str]]:
    """Only the columns: what replication depends on. Keys and triggers may differ for a while."""
    return {
        name: [line for line in lines if line.startswith("column ")]
        for name, lines in shape.items()
    }


async def find_drift(context: SplitContext) -> list[str]:
    """Columns that are not the same on both sides, one sentence each; empty when all is well."""
    shapes = {
        side: columns_of(await read_shape(await context.control(side), context)) for side in Side
    }
    found = []
    for name, lines in shapes[Side.SHARED].items():
        others = shapes[Side.OWN].get(name, [])
        found += [
            f"{name}: {line} is not on the own database" for line in lines if line not in others
        ]
        found += [
            f"{name}: {line} is not on the shared database" for line in others if line not in lines
        ]
    return found
