"""`python -m services.content.migrations [platform|content …]`: the schema of the own database.

Without arguments everything is applied. Before a split only `platform` is needed: the split brings
the tables of the domain. Every statement may be repeated, also by two runs at the same time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection
from importlib.resources import files

import asyncpg

#: Advisory lock that serialises runs on one database; any constant of our own does.
MIGRATION_LOCK = 7_391_202_611
CONNECT_SECONDS = 10.0
LOCK_TIMEOUT_MS = 60_000


def schema_files(parts: Collection[str] = ()) -> list[tuple[str, str]]:
    """(name, SQL) in order; `parts` are words of file names, none means all."""
    folder = files("services.content") / "schema"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    wanted = [name for name in names if not parts or name.split("_", 1)[1][:-4] in parts]
    return [(name, (folder / name).read_text("utf-8")) for name in wanted]


async def migrate(dsn: str, parts: Collection[str] = ()) -> list[str]:
    """Apply the schema and return the names of the applied files."""
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS,
        server_settings={
            "application_name": "content/migrations",
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "client_min_messages": "warning",
        },
    )
    applied = []
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
            for name, sql in schema_files(parts):
                await connection.execute(sql)
                applied.append(name)
    finally:
        await connection.close()
    return applied


def main(arguments: Collection[str]) -> int:
    """Entry point; reads DATABASE_URL."""
    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        sys.stderr.write("DATABASE_URL is not set; it names the service's own database\n")
        return 2
    for name in asyncio.run(migrate(dsn, arguments)):
        sys.stdout.write(f"applied {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
