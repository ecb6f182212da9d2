"""Applies monolith/schema/*.sql in order, once each; `python -m monolith.migrations` runs it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from pathlib import Path

import asyncpg

SCHEMA = Path(__file__).parent / "schema"
LOCK = 0x5C3E_0001  # advisory lock: one migrator at a time per database
LOCK_SECONDS = 120.0
CONNECT_SECONDS = 10.0
TABLE = """CREATE TABLE IF NOT EXISTS schema_migrations (
  name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"""


class MigrationError(RuntimeError):
    """The schema cannot be brought up to date; the message says why and what to do."""


def schema_files() -> list[Path]:
    return sorted(SCHEMA.glob("[0-9]*.sql"))


async def migrate(dsn: str) -> list[str]:
    """Bring the database up to date; returns the names applied now. Safe to run twice at once."""
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_SECONDS, server_settings={"application_name": "monolith/migrations"}
    )
    try:
        await _lock(connection)
        await connection.execute(TABLE)
        rows = await connection.fetch("SELECT name, checksum FROM schema_migrations")
        applied = {row["name"]: row["checksum"] for row in rows}
        scripts = {path.stem: path.read_text(encoding="utf-8") for path in schema_files()}
        return [n for n, script in scripts.items() if await _apply(connection, n, script, applied)]
    finally:
        await connection.close(timeout=CONNECT_SECONDS)


async def _lock(connection: asyncpg.Connection) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another migration has been running for {LOCK_SECONDS:.0f} s; look for the"
                " session named monolith/migrations in pg_stat_activity"
            )
        await asyncio.sleep(0.1)


async def _apply(
    connection: asyncpg.Connection, name: str, script: str, applied: dict[str, str]
) -> bool:
    checksum = hashlib.sha256(script.encode()).hexdigest()
    if name in applied:
        if applied[name] != checksum:
            raise MigrationError(
                f"{name}.sql was changed after it was applied; restore it and add a new file"
            )
        return False
    async with connection.transaction():
        await connection.execute(script)
        await connection.execute(
            "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", name, checksum
        )
    return True


def main() -> int:
    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        sys.stderr.write("DATABASE_URL is not set: give the address of the database\n")
        return 2
    try:
        names = asyncio.run(migrate(dsn))
    except (MigrationError, OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"schema not applied: {error}\n")
        return 1
    sys.stdout.write(f"schema up to date, applied now: {', '.join(names) or 'nothing'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
