"""Carries the values of sequences to the new owner; logical replication does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from migrate.split.connection import Connection
from migrate.split.names import TableName

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


@dataclass(frozen=True, slots=True)
class SequenceReader:
    """Reads the values of the same sequences again and again, by one small statement.

    What does not move (bounds, increment) is read once, before anybody waits.
    """

    known: tuple[SequenceValue, ...]
    oids: tuple[int, ...]

    @classmethod
    async def of(cls, connection: Connection, names: Sequence[TableName]) -> SequenceReader:
        """For these sequences of the side that `connection` reaches."""
        rows = await connection.fetch(
            "SELECT n.nspname, c.relname, c.oid::bigint AS oid, s.seqincrement, s.seqmin, s.seqmax,"
            " s.seqcycle FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
            " ORDER BY 1, 2",
            [name.schema for name in names],
            [name.name for name in names],
        )
        return cls(
            tuple(
                SequenceValue(
                    TableName(row["nspname"], row["relname"]),
                    None,
                    row["seqincrement"],
                    row["seqmin"],
                    row["seqmax"],
                    row["seqcycle"],
                )
                for row in rows
            ),
            tuple(row["oid"] for row in rows),
        )

    async def read(self, connection: Connection) -> list[SequenceValue]:
        """Where the sequences stand now."""
        if not self.oids:
            return []
        rows = await connection.fetch(
            "SELECT pg_sequence_last_value(oid::regclass) AS value"
            " FROM unnest($1::oid[]) WITH ORDINALITY AS s (oid, position) ORDER BY position",
            list(self.oids),
        )
        return [
            replace(known, last_value=row["value"])
            for known, row in zip(self.known, rows, strict=True)
        ]


def targets(values: Iterable[SequenceValue], gap: int) -> tuple[list[str], list[int]]:
    """Quoted names and the values to set on the new owner; sequences never used are left out."""
    found = [
        (value.name.sql, number) for value in values if (number := value.advanced(gap)) is not None
    ]
    return [name for name, _ in found], [number for _, number in found]
