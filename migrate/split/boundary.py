"""Reads everything in a database that hangs on a set of tables and may hinder their move."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrate.split.catalogue import Table, read_tables
from migrate.split.connection import Connection
from migrate.split.crossing import CrossingKey, find_crossing_keys
from migrate.split.names import TableName

#: Views, materialized views and rules of others that look at the tables.
VIEWS = """
SELECT DISTINCT v.oid::regclass::text AS name, v.relkind::text AS kind, t.oid::regclass::text AS table_name
FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_class v ON v.oid = r.ev_class JOIN pg_class t ON t.oid = d.refobjid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1::oid[]) AND v.oid <> ALL ($1::oid[])
ORDER BY 1, 3
"""

TRIGGERS = """
SELECT t.tgrelid::regclass::text AS table_name, t.tgname AS name, t.tgenabled::text AS enabled,
  p.oid::regprocedure::text AS function
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = ANY ($1::oid[]) AND NOT t.tgisinternal AND t.tgname NOT LIKE 'zz\\_split\\_fence\\_%'
ORDER BY 1, 2
"""

FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name, n.nspname AS schema, l.lanname AS language,
  coalesce(p.prosrc, '') || coalesce(pg_get_function_sqlbody(p.oid), '') AS source
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE '\\_split\\_%'
  AND p.prokind IN ('f', 'p') AND l.lanname IN ('sql', 'plpgsql')
  AND NOT EXISTS (SELECT FROM pg_depend d
                   WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1
"""

SEQUENCES = """
SELECT s.oid::regclass::text AS name, array_agg(DISTINCT a.adrelid::bigint) AS tables
FROM pg_class s JOIN pg_depend d ON d.refobjid = s.oid AND d.refclassid = 'pg_class'::regclass
  AND d.classid = 'pg_attrdef'::regclass JOIN pg_attrdef a ON a.oid = d.objid
WHERE s.relkind = 'S' GROUP BY s.oid
"""

TYPES = """
SELECT DISTINCT t.oid::regtype::text AS name, t.typtype::text AS kind,
  (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e') AS extension
FROM pg_attribute a JOIN pg_type c ON c.oid = a.atttypid
  JOIN pg_type t ON t.oid = CASE WHEN c.typcategory = 'A' AND c.typelem <> 0 THEN c.typelem ELSE c.oid END
  JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname <> 'pg_catalog'
ORDER BY 1
"""

LARGE_OBJECTS = """
SELECT a.attrelid::regclass::text AS table_name, a.attname AS name FROM pg_attribute a
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  AND a.atttypid IN (SELECT oid FROM pg_type WHERE typname IN ('oid', 'lo'))
"""

PUBLICATIONS = """
SELECT DISTINCT p.pubname AS name, r.prrelid::regclass::text AS table_name FROM pg_publication_rel r
JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = ANY ($1::oid[]) AND p.pubname <> ALL ($2::text[])
UNION SELECT pubname, 'all tables' FROM pg_publication WHERE puballtables
"""

TABLES_OF_ALL = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\\_%'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE '\\_split\\_%'
  AND NOT EXISTS (SELECT FROM pg_depend d
                   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Mention:
    """Something (view, function, trigger, …) that refers to a table."""

    name: str
    kind: str
    table: str


@dataclass(frozen=True, slots=True)
class Trigger:
    table: str
    name: str
    enabled: str  # O origin, D disabled, R replica, A always
    function: str


@dataclass(frozen=True, slots=True)
class UsedType:
    name: str
    kind: str  # e enum, c composite, d domain, b base, r range
    extension: str | None


@dataclass(frozen=True, slots=True)
class Boundary:
    """What hangs on the tables of one service."""

    tables: Mapping[TableName, Table]
    crossing_keys: tuple[CrossingKey, ...]
    views: tuple[Mention, ...]
    functions: tuple[Mention, ...]
    triggers: tuple[Trigger, ...]
    types: tuple[UsedType, ...]
    shared_sequences: tuple[Mention, ...]
    large_objects: tuple[str, ...]
    publications: tuple[str, ...]


async def list_tables(connection: Connection) -> list[TableName]:
    """Every table of the application, in schema and name order."""
    return [TableName(row["schema"], row["name"]) for row in await connection.fetch(TABLES_OF_ALL)]


async def read_boundary(
    connection: Connection, names: Sequence[TableName], own_publications: Sequence[str] = ()
) -> Boundary:
    """Read it all; raises MissingTableError."""
    tables = await read_tables(connection, names)
    oids = [table.oid for table in tables.values()]
    functions = await connection.fetch(FUNCTIONS)
    sequences = await connection.fetch(SEQUENCES)
    return Boundary(
        tables=tables,
        crossing_keys=tuple(await find_crossing_keys(connection, oids)),
        views=tuple(
            Mention(row["name"], row["kind"], row["table_name"])
            for row in await connection.fetch(VIEWS, oids)
        ),
        functions=tuple(
            Mention(row["name"], row["language"], str(name))
            for row in functions
            for name in names
            if mentions(row["source"], name)
        ),
        triggers=tuple(
            Trigger(row["table_name"], row["name"], row["enabled"], row["function"])
            for row in await connection.fetch(TRIGGERS, oids)
        ),
        types=tuple(
            UsedType(row["name"], row["kind"], row["extension"])
            for row in await connection.fetch(TYPES, oids)
        ),
        shared_sequences=tuple(
            Mention(row["name"], "sequence", "")
            for row in sequences
            if set(row["tables"]) & set(oids) and set(row["tables"]) - set(oids)
        ),
        large_objects=tuple(
            f"{row['table_name']}.{row['name']}"
            for row in await connection.fetch(LARGE_OBJECTS, oids)
        ),
        publications=tuple(
            sorted(
                {
                    row["name"]
                    for row in await connection.fetch(PUBLICATIONS, oids, list(own_publications))
                }
            )
        ),
    )


def mentions(source: str, name: TableName) -> bool:
    """Whether the text of a function names the table as a word of its own."""
    return (
        re.search(rf"(?<![\w$]){re.escape(name.name)}(?![\w$])", source, re.IGNORECASE) is not None
    )
