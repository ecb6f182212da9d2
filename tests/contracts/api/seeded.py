"""The suite on a full database: `CONTRACT_SEED_USERS=1000` makes a hundred thousand messages first.

The apps see every row. A test's own connection looks through views that hide what was seeded, so it
counts, changes and empties only what the test itself has made.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

import asyncpg

from migrate.commands.seed import fill, populate

USERS = int(os.environ.get("CONTRACT_SEED_USERS", "0"))
#: What a test's connection finds first.
SEARCH_PATH = "fresh, public" if USERS else "public"
_KEYS = """
SELECT c.conrelid::regclass::text AS table_name,
  array_agg(quote_ident(a.attname) ORDER BY a.attnum) AS columns
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
WHERE c.contype = 'p' AND c.connamespace = 'public'::regnamespace GROUP BY c.conrelid
"""


async def seed(dsn: str) -> None:
    """Fill the database and hide all of it from tests; nothing without the variable."""
    if not USERS:
        return
    await fill(dsn)
    await populate(dsn, USERS, 1, datetime.now(UTC).replace(hour=0, minute=0, second=0))
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE SCHEMA seeded; CREATE SCHEMA fresh")
        for row in await connection.fetch(_KEYS):
            await _hide(connection, row["table_name"], row["columns"])
    finally:
        await connection.close()


async def _hide(connection: asyncpg.Connection, table: str, key: list[str]) -> None:
    columns = ", ".join(key)
    same = " AND ".join(f"s.{column} = t.{column}" for column in key)
    await connection.execute(
        f"CREATE TABLE seeded.{table} AS SELECT {columns} FROM public.{table};"
        f"CREATE UNIQUE INDEX ON seeded.{table} ({columns}); ANALYZE seeded.{table};"
        f"CREATE VIEW fresh.{table} AS SELECT * FROM public.{table} t"
        f" WHERE NOT EXISTS (SELECT FROM seeded.{table} s WHERE {same})"
    )
