"""Foreign keys that cross the boundary of a split: which there are, and what each becomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from migrate.split.connection import Connection
from migrate.split.names import TableName, quote

CROSSING_KEYS = """
SELECT c.conname AS name, cn.nspname AS child_schema, cc.relname AS child,
  pn.nspname AS parent_schema, pc.relname AS parent, c.confdeltype::text AS on_delete,
  pg_get_constraintdef(c.oid) AS definition, c.convalidated AS is_valid,
  (SELECT array_agg(a.attname::text ORDER BY k.position) FROM unnest(c.conkey) WITH ORDINALITY AS k (n, position)
     JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n) AS child_columns,
  (SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.position)
     FROM unnest(c.conkey) WITH ORDINALITY AS k (n, position)
     JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n) AS child_types,
  (SELECT array_agg(a.attname::text ORDER BY k.position) FROM unnest(c.confkey) WITH ORDINALITY AS k (n, position)
     JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n) AS parent_columns,
  c.conrelid = ANY ($1::oid[]) AS child_moves
FROM pg_constraint c
  JOIN pg_class cc ON cc.oid = c.conrelid JOIN pg_namespace cn ON cn.oid = cc.relnamespace
  JOIN pg_class pc ON pc.oid = c.confrelid JOIN pg_namespace pn ON pn.oid = pc.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0
  AND (c.conrelid = ANY ($1::oid[])) <> (c.confrelid = ANY ($1::oid[]))
ORDER BY cn.nspname, cc.relname, c.conname
"""


#: Beginning of the names of triggers that log deletions.
LOG_TRIGGER = "split_log_"


class Fate(StrEnum):
    """What a crossing key becomes."""

    EVENT = "event"  # the owner of the parent announces deletions; the child's owner obeys
    LOOSE = "loose"  # a delete log on the parent and a cleaner for the children
    CHECK = "check"  # it only refused deletions and wrong values; nothing does that any more


#: pg_constraint.confdeltype in words.
ON_DELETE = {
    "a": "no action",
    "r": "restrict",
    "c": "cascade",
    "n": "set null",
    "d": "set default",
}


@dataclass(frozen=True, slots=True)
class CrossingKey:
    """A foreign key between a table that moves and one that stays."""

    name: str
    child: TableName
    parent: TableName
    child_columns: tuple[str, ...]
    child_types: tuple[str, ...]
    parent_columns: tuple[str, ...]
    on_delete: str
    definition: str
    is_valid: bool
    child_moves: bool

    @property
    def is_outgoing(self) -> bool:
        """From a table that moves to one that stays."""
        return self.child_moves

    @property
    def drop_sql(self) -> str:
        return f"ALTER TABLE {self.child.sql} DROP CONSTRAINT IF EXISTS {quote(self.name)}"

    @property
    def restore_sql(self) -> str:
        """Not checked against rows that are there: some may have lost their parent meanwhile."""
        suffix = "" if self.definition.endswith("NOT VALID") else " NOT VALID"
        return f"ALTER TABLE {self.child.sql} ADD CONSTRAINT {quote(self.name)} {self.definition}{suffix}"

    @property
    def validate_sql(self) -> str:
        return f"ALTER TABLE {self.child.sql} VALIDATE CONSTRAINT {quote(self.name)}"

    @property
    def log_trigger(self) -> str:
        """Name of the trigger that logs deletions of the parent."""
        return f"{LOG_TRIGGER}{self.name}"[:63]

    def __str__(self) -> str:
        columns = ", ".join(self.child_columns)
        return f"{self.child}({columns}) -> {self.parent} on delete {self.on_delete}"


def fate(key: CrossingKey, deletion_events: Mapping[str, str]) -> Fate:
    """By event where one announces the parent's deletions, else by a log where deletions have effects."""
    if str(key.parent) in deletion_events:
        return Fate.EVENT
    return Fate.LOOSE if key.on_delete in ("cascade", "set null", "set default") else Fate.CHECK


async def find_crossing_keys(connection: Connection, tables: Iterable[int]) -> list[CrossingKey]:
    """Every foreign key with exactly one end among these tables (oids)."""
    return [
        CrossingKey(
            name=row["name"],
            child=TableName(row["child_schema"], row["child"]),
            parent=TableName(row["parent_schema"], row["parent"]),
            child_columns=tuple(row["child_columns"]),
            child_types=tuple(row["child_types"]),
            parent_columns=tuple(row["parent_columns"]),
            on_delete=ON_DELETE[row["on_delete"]],
            definition=row["definition"],
            is_valid=row["is_valid"],
            child_moves=row["child_moves"],
        )
        for row in await connection.fetch(CROSSING_KEYS, list(tables))
    ]
