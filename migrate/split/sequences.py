"""Carries the values of sequences to the new owner; logical replication does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migrate.split.connection import Connection
from migrate.split.names import TableName, literal

#: Sequences that a column of these tables owns (serial, identity) or draws its default from.
SEQUENCES = """
SELECT DISTINCT n.nspname AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND (
  EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1::oid[])
            AND d.deptype IN ('a', 'i'))
  OR EXISTS (SELECT FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid
              WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
                AND d.refobjid = c.oid AND a.adrelid = ANY ($1::oid[])))
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class SequenceValue:
    """Where a sequence stands. `last_value` is None when it was never used."""

    name: TableName
    last_value: int | None
    increment: int
    minimum: int
    maximum: int
    cycles: bool

    def advanced(self, gap: int) -> int | None:
        """The value to set on the new owner: `gap` steps further, inside the bounds."""
        if self.last_value is None:
            return None
        value = self.last_value + gap * self.increment
        if self.minimum <= value <= self.maximum:
            return value
        if self.cycles:
            return self.last_value
        return self.maximum if self.increment > 0 else self.minimum


async def find_sequences(connection: Connection, tables: Iterable[int]) -> list[TableName]:
    """Sequences of these tables, by name."""
    rows = await connection.fetch(SEQUENCES, list(tables))
    return [TableName(row["schema"], row["name"]) for row in rows]


async def read_values(connection: Connection, names: Sequence[TableName]) -> list[SequenceValue]:
    """Where the sequences stand now, in one statement."""
    rows = await connection.fetch(
        "SELECT schemaname, sequencename, last_value, increment_by, min_value, max_value, cycle"
        " FROM pg_sequences"
        " WHERE (schemaname, sequencename) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
        " ORDER BY 1, 2",
        [name.schema for name in names],
        [name.name for name in names],
    )
    return [
        SequenceValue(
            TableName(row["schemaname"], row["sequencename"]),
            row["last_value"],
            row["increment_by"],
            row["min_value"],
            row["max_value"],
            row["cycle"],
        )
        for row in rows
    ]


def set_values_sql(values: Iterable[SequenceValue], gap: int) -> str:
    """One statement that sets them all on the new owner; empty when there is nothing to set."""
    calls = [
        f"setval({literal(value.name.sql)}::regclass, {number})"
        for value in values
        if (number := value.advanced(gap)) is not None
    ]
    return f"SELECT {', '.join(calls)}" if calls else ""
