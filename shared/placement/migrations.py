"""Brings a service's own database up to date: the platform tables, then those of its domain.

Every SQL file may be repeated, also by two runs at the same time. Knows no domain: the SQL of one
lies in `services/<name>/schema/*.sql`, that of the platform beside this module.
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
PLATFORM = "platform"


def schema_parts(package: str, parts: Collection[str] = ()) -> list[tuple[str, str]]:
    """(part, SQL) in order of application: `platform`, then the files of the package by name.

    `parts` chooses some of them; none means all. Raises ValueError for a part that does not exist.
    """
    platform = files("shared.placement") / "schema" / "platform.sql"
    found = [(PLATFORM, platform.read_text("utf-8"))]
    folder = files(package) / "schema"
    if folder.is_dir():
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
        found += [(name[:-4], (folder / name).read_text("utf-8")) for name in names]
    unknown = sorted(set(parts) - {name for name, _ in found})
    if unknown:
        known = ", ".join(name for name, _ in found)
        raise ValueError(f"unknown part {', '.join(unknown)}; there are: {known}")
    return [(name, sql) for name, sql in found if not parts or name in parts]


async def migrate(package: str, dsn: str, parts: Collection[str] = ()) -> list[str]:
    """Apply the schema of `services.<name>` to `dsn`; returns the parts that were applied."""
    chosen = schema_parts(package, parts)
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS,
        server_settings={
            "application_name": f"{package.rpartition('.')[2]}/migrations",
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "client_min_messages": "warning",
        },
    )
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
            for _, sql in chosen:
                await connection.execute(sql)
    finally:
        await connection.close()
    return [name for name, _ in chosen]


def run_migrations(package: str) -> int:
    """`python -m services.<name>.migrations [PART …]`; 2 when something cannot be used."""
    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        sys.stderr.write("DATABASE_URL is not set; it names the service's own database\n")
        return 2
    try:
        applied = asyncio.run(migrate(package, dsn, sys.argv[1:]))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("".join(f"applied {name}\n" for name in applied))
    return 0
