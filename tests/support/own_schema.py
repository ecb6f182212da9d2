"""What a schema is made of, to compare a service's own one with the contract's whole one."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

_COLUMNS = """
SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ANY ($1) ORDER BY 1, 2
"""
_INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename = ANY ($1) ORDER BY 1, 2
"""
#: Keys that cross to another service are named x_… and stay behind.
_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid::regclass::text = ANY ($1) AND conname NOT LIKE 'x\\_%' ORDER BY 1, 2
"""
_TRIGGERS = """
SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger
WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY ($1) ORDER BY 1, 2
"""
_FUNCTIONS = """
SELECT proname, md5(regexp_replace(prosrc, '\\s+', '', 'g')), pg_get_function_arguments(oid)
FROM pg_proc WHERE proname IN ('touch_updated_at', 'emit_event') ORDER BY 1
"""


async def describe_schema(dsn: str, tables: Sequence[str]) -> list[list[tuple[object, ...]]]:
    """Columns, indexes, constraints and triggers of the tables, and the platform's functions."""
    connection = await asyncpg.connect(dsn)
    try:
        found = [
            await connection.fetch(sql, tables)
            for sql in (_COLUMNS, _INDEXES, _CONSTRAINTS, _TRIGGERS)
        ]
        found.append(await connection.fetch(_FUNCTIONS))
    finally:
        await connection.close()
    return [[tuple(row) for row in rows] for rows in found]
