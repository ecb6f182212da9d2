"""Brings the schema `strangler` to the newest version; safe to run twice at the same time."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.resources import files

import asyncpg

#: Advisory lock that serialises migrations of this schema; any constant of our own does.
MIGRATION_LOCK = 7_391_202_604
#: Longest wait for another run of the migrations, in milliseconds.
LOCK_TIMEOUT_MS = 60_000


def migration_files() -> list[tuple[str, str]]:
    """(name, SQL) of every shipped migration, in order."""
    folder = files("shared.control") / "schema"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text(encoding="utf-8")) for name in names]


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing and return the names of the applied files.

    Each file runs once, in a transaction of its own together with its row in
    `strangler.schema_migrations`.
    """
    connection = await asyncpg.connect(
        dsn, timeout=10, server_settings={"application_name": "strangler/migrations"}
    )
    applied: list[str] = []
    try:
        await connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        await connection.execute("CREATE SCHEMA IF NOT EXISTS strangler")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS strangler.schema_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        done = {
            row["name"]
            for row in await connection.fetch("SELECT name FROM strangler.schema_migrations")
        }
        for name, sql in migration_files():
            if name in done:
                continue
            async with connection.transaction():
                await connection.execute(sql)
                await connection.execute(
                    "INSERT INTO strangler.schema_migrations (name) VALUES ($1)", name
                )
            applied.append(name)
    finally:
        await connection.close()  # ends the session and with it the advisory lock
    return applied


def main() -> int:
    """Entry point of `python -m shared.control.migrations`; reads SHARED_DATABASE_URL."""
    dsn = os.environ.get("SHARED_DATABASE_URL")
    if not dsn:
        sys.stderr.write("SHARED_DATABASE_URL is not set; it names the shared database\n")
        return 2
    for name in asyncio.run(migrate(dsn)):
        sys.stdout.write(f"applied {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
