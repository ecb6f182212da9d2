"""Reads the shape of tables from PostgreSQL's catalogues; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migrate.split.connection import Connection
from migrate.split.model import SplitError
from migrate.split.names import TableName, quote

TABLES = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
  c.relpersistence::text AS persistence, c.relreplident::text AS replica_identity,
  c.relrowsecurity OR c.relforcerowsecurity AS has_row_security,
  pg_total_relation_size(c.oid) AS total_bytes, pg_relation_size(c.oid) AS heap_bytes,
  greatest(c.reltuples, 0)::bigint AS estimated_rows,
  pg_get_userbyid(c.relowner) AS owner,
  EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_children,
  c.relispartition AS is_partition,
  (SELECT array_agg(a.attname::text ORDER BY k.position)
     FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE i.indrelid = c.oid AND i.indisprimary) AS primary_key,
  c.relreplident = 'f' OR EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
       AND ((c.relreplident = 'd' AND i.indisprimary)
         OR (c.relreplident = 'i' AND i.indisreplident))) AS has_replica_identity
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""

COLUMNS = """
SELECT a.attrelid::bigint AS oid, a.attname AS name,
  format_type(a.atttypid, a.atttypmod) AS type,
  coalesce(nullif(t.typbasetype, 0), t.oid)::regtype::text AS base_type,
  t.typtype::text AS type_kind, t.typcategory::text AS category,
  coalesce(e.typtype::text, '') AS element_kind, coalesce(e.oid::regtype::text, '') AS element_type,
  a.attnotnull AS not_null, a.attgenerated <> '' AS is_generated, a.attidentity::text AS identity,
  coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS default_expression
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

#: Tables with rows of their own: a partitioned table's leaves, otherwise the table itself.
STORAGES = """
SELECT r.oid::bigint AS root, l.relid::bigint AS oid, n.nspname AS schema, c.relname AS name,
  pg_relation_filenode(l.relid)::bigint AS filenode, pg_relation_size(l.relid) AS heap_bytes,
  coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes,
  (pg_relation_size(l.relid) / current_setting('block_size')::int)::bigint AS pages,
  greatest(c.reltuples, 0)::bigint AS estimated_rows
FROM unnest($1::oid[]) AS r (oid)
  CROSS JOIN LATERAL (
    SELECT relid::oid FROM pg_partition_tree(r.oid::regclass) WHERE isleaf
    UNION SELECT r.oid WHERE NOT EXISTS (SELECT FROM pg_partition_tree(r.oid::regclass))) AS l (relid)
  JOIN pg_class c ON c.oid = l.relid JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY r.oid, l.relid
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `type` as in DDL, `base_type` without a domain around it."""

    name: str
    type: str
    base_type: str
    type_kind: str  # b base, c composite, d domain, e enum, p pseudo, r range, m multirange
    category: str
    element_kind: str  # kind of the element type of an array, else empty
    element_type: str
    not_null: bool
    is_generated: bool
    identity: str
    default_expression: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table as the catalogue shows it. Sizes in bytes, with indexes in `total_bytes`."""

    oid: int
    name: TableName
    kind: str
    persistence: str
    replica_identity: str
    has_row_security: bool
    total_bytes: int
    heap_bytes: int
    estimated_rows: int
    owner: str
    has_children: bool
    is_partition: bool
    primary_key: tuple[str, ...]
    has_replica_identity: bool
    columns: tuple[Column, ...]

    @property
    def stored_columns(self) -> tuple[Column, ...]:
        """Columns that are copied and replicated; generated ones are computed again."""
        return tuple(column for column in self.columns if not column.is_generated)

    @property
    def column_list(self) -> str:
        """Stored columns, quoted, for COPY and SELECT."""
        return ", ".join(quote(column.name) for column in self.stored_columns)


@dataclass(frozen=True, slots=True)
class Storage:
    """One heap: where rows of a table (or of one partition) lie. `root` is the table's oid."""

    root: int
    oid: int
    name: TableName
    filenode: int
    heap_bytes: int
    toast_bytes: int
    pages: int
    estimated_rows: int


class MissingTableError(SplitError):
    """A table of the split is not in the database."""

    def __init__(self, missing: Sequence[TableName], database: str) -> None:
        names = ", ".join(str(name) for name in missing)
        super().__init__(
            f"database {database} has no table {names};"
            " correct the table list of the service, or run its schema migrations first"
        )
        self.missing = tuple(missing)


async def find_tables(connection: Connection, names: Iterable[TableName]) -> dict[TableName, Table]:
    """The tables of these names that exist, in the order asked for."""
    wanted = list(names)
    rows = await connection.fetch(
        TABLES, [name.schema for name in wanted], [name.name for name in wanted]
    )
    columns: dict[int, list[Column]] = {}
    for row in await connection.fetch(COLUMNS, [row["oid"] for row in rows]):
        fields = dict(row)
        columns.setdefault(fields.pop("oid"), []).append(Column(**fields))
    found: dict[TableName, Table] = {}
    for row in rows:
        fields = dict(row)
        name = TableName(fields.pop("schema"), fields.pop("name"))
        fields["primary_key"] = tuple(fields["primary_key"] or ())
        found[name] = Table(name=name, columns=tuple(columns.get(row["oid"], ())), **fields)
    return {name: found[name] for name in wanted if name in found}


async def read_tables(connection: Connection, names: Iterable[TableName]) -> dict[TableName, Table]:
    """All of these tables; raises MissingTableError."""
    wanted = list(names)
    found = await find_tables(connection, wanted)
    if missing := [name for name in wanted if name not in found]:
        raise MissingTableError(
            missing, str(await connection.fetchval("SELECT current_database()"))
        )
    return found


async def read_storages(connection: Connection, oids: Iterable[int]) -> list[Storage]:
    """The heaps of these tables, with their sizes now."""
    storages = []
    for row in await connection.fetch(STORAGES, list(oids)):
        fields = dict(row)
        name = TableName(fields.pop("schema"), fields.pop("name"))
        storages.append(Storage(name=name, **fields))
    return storages
