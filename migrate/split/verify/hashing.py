"""SQL that turns rows into sums: equal tables give equal sums, on any server and in any order; pure.

A sum of hashes does not depend on order, so that each side may be read in its own physical order and
in pieces. Sums, never exclusive-or: two equal wrong rows cancel out under xor. A column is hashed by
its type's own hash only where equal hash input means equal text; everything else goes through text:
enums (the hash is that of an oid, which differs between databases), numbers with a scale (1.0 and
1.00 are one number and two texts), json, and every type that the list does not name.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from migrate.split.catalogue import Column
from migrate.split.names import quote

#: Types whose extended hash tells every two different texts apart (up to collisions).
EXACT_TYPES = frozenset(
    {
        "bigint",
        "boolean",
        "bytea",
        '"char"',
        "date",
        "inet",
        "integer",
        "macaddr",
        "name",
        "oid",
        "pg_lsn",
        "smallint",
        "text",
        "character varying",
        "time without time zone",
        "timestamp with time zone",
        "timestamp without time zone",
        "uuid",
    }
)
COLLATED = frozenset({"text", "character varying", "name"})
#: Types whose binary form is exact and cheaper than their text.
SENT: dict[str, str] = {"double precision": "float8send", "real": "float4send"}
#: Seeds of the two sums; any two different constants do.
SEEDS = (0, 0x5EED)


class HashMode(StrEnum):
    """How rows are hashed."""

    RECORD = "record"  # hash_record_extended: fastest, undocumented, checked for agreement first
    TEXT = "text"  # md5 of the row as text: portable between versions and processors


def hashed(column: Column, alias: str = "") -> str:
    """The expression by which one column enters the hash."""
    name = f"{alias}{quote(column.name)}"
    if column.base_type in SENT:
        return f"{SENT[column.base_type]}({name}::{column.base_type})"
    if column.base_type in COLLATED:
        return f'{name} COLLATE "C"'  # a collation may call two different texts equal
    if column.base_type in EXACT_TYPES and column.type_kind in ("b", "d"):
        return name
    if (
        column.category == "A"
        and column.element_kind == "b"
        and column.element_type in EXACT_TYPES
        and column.type_kind == "b"
    ):
        return name
    return f"{name}::text"


def row_hash(columns: Sequence[Column], mode: HashMode, seed: int) -> str:
    """A bigint for one row."""
    if mode is HashMode.RECORD:
        values = ", ".join(hashed(column) for column in columns)
        return f"hash_record_extended(ROW({values}), {seed})"
    values = ", ".join(f"{hashed(column)}::text" for column in columns)
    first = 1 if seed == SEEDS[0] else 17  # the two halves of one md5
    return f"('x' || substr(md5(ROW({values})::text), {first}, 16))::bit(64)::bigint"


def sums_sql(columns: Sequence[Column], mode: HashMode, relation: str, condition: str) -> str:
    """One row: count and both sums. sum(bigint) adds in 128 bits, so nothing overflows."""
    first, second = (row_hash(columns, mode, seed) for seed in SEEDS)
    return (
        f"SELECT count(*)::bigint, sum({first})::text, sum({second})::text"
        f" FROM ONLY {relation} WHERE {condition}"
    )


def key_bucket(key: Sequence[Column], mode: HashMode, buckets: int) -> str:
    """Which of `buckets` groups the key of a row belongs to; a power of two."""
    return f"({row_hash(key, mode, SEEDS[0])} & {buckets - 1})"


def bucket_sums_sql(
    columns: Sequence[Column],
    key: Sequence[Column],
    mode: HashMode,
    relation: str,
    condition: str,
    buckets: int,
) -> str:
    """Rows (bucket, count, first sum, second sum)."""
    first, second = (row_hash(columns, mode, seed) for seed in SEEDS)
    return (
        f"SELECT {key_bucket(key, mode, buckets)} AS bucket, count(*)::bigint AS rows,"
        f" sum({first})::text AS first, sum({second})::text AS second"
        f" FROM ONLY {relation} WHERE {condition} GROUP BY 1"
    )


def bucket_rows_sql(
    columns: Sequence[Column],
    key: Sequence[Column],
    mode: HashMode,
    relation: str,
    condition: str,
    buckets: int,
) -> str:
    """Keys (as text) and hash of every row in the buckets given as $1."""
    keys = ", ".join(f"{quote(column.name)}::text" for column in key)
    return (
        f"SELECT ARRAY[{keys}] AS key, {row_hash(columns, mode, SEEDS[0])} AS first,"
        f" {row_hash(columns, mode, SEEDS[1])} AS second FROM ONLY {relation}"
        f" WHERE {condition} AND {key_bucket(key, mode, buckets)} = ANY ($1::bigint[])"
    )


#: One constant of every exact type, as the hash sees them.
PROBE = """
SELECT hash_record_extended(ROW(1::bigint, true, '\\x00ff'::bytea, DATE '2024-02-29', 7::int, 3::smallint,
  'größe'::text, 'x'::varchar, TIMESTAMPTZ '2024-02-29 12:34:56.789+00', TIMESTAMP '2024-02-29 12:34:56',
  '00000000-0000-4000-8000-0123456789ab'::uuid, NULL::text, ARRAY['a', NULL]::text[], float8send(1.5)), {seed})
"""


def probe_sql(seed: int = SEEDS[1]) -> str:
    """A statement whose result is the same on two servers that hash alike."""
    return PROBE.format(seed=seed)
