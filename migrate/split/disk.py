"""Free disk of the own server: read where the role may, judged against what a copy needs."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from migrate.split.context import SplitContext
from migrate.split.findings import Finding, Weight
from migrate.split.names import Side, literal

#: Free disk that a copy wants, as a multiple of the tables with their indexes.
DISK_FACTOR = 1.1
#: Longest time that the server's `df` may take, in seconds.
DF_SECONDS = 5.0


async def free_bytes(context: SplitContext) -> int | None:
    """Free bytes below the data directory; None where neither this machine nor the server tells.

    A superuser may let the server run `df`, which is how a database in a container is asked.
    """
    facts = context.facts[Side.OWN]
    if facts.data_directory is None:
        return None
    host = urlsplit(context.endpoints[Side.OWN].dsn).hostname or "localhost"
    if host in ("localhost", "127.0.0.1", "::1"):
        with suppress(OSError):
            found = os.statvfs(Path(facts.data_directory))
            return found.f_bavail * found.f_frsize
    return await ask_server(context, facts.data_directory) if facts.is_superuser else None


async def ask_server(context: SplitContext, directory: str) -> int | None:
    """What `df` says on the own server; None when it may not or cannot run."""
    connection = await context.control(Side.OWN)
    command = f"df -Pk {shlex.quote(directory)}"
    with suppress(asyncpg.PostgresError, TimeoutError):
        async with connection.transaction():
            await connection.execute("CREATE TEMP TABLE split_disk (line text) ON COMMIT DROP")
            await connection.execute(
                f"COPY pg_temp.split_disk FROM PROGRAM {literal(command)}", timeout=DF_SECONDS
            )
            rows = await connection.fetch("SELECT line FROM pg_temp.split_disk")
        return parse_df([row["line"] for row in rows])
    return None


def parse_df(lines: list[str]) -> int | None:
    """Free bytes from the output of `df -Pk DIRECTORY` (POSIX: the fourth column, in KiB)."""
    fields = lines[-1].split() if lines else []
    return int(fields[3]) * 1024 if len(fields) >= 6 and fields[3].isdigit() else None


def judge_disk(size: int, free: int | None) -> list[Finding]:
    """`size`: bytes of the tables with their indexes."""
    wanted = int(size * DISK_FACTOR)
    if free is None:
        return [
            Finding(
                "disk", Weight.WARN, "own server",
                f"needs {wanted:,} bytes of free disk, which cannot be read from here", "look yourself",
            )
        ]  # fmt: skip
    if free < wanted:
        return [
            Finding(
                "disk", Weight.REFUSE, "own server", f"has {free:,} bytes of free disk and needs {wanted:,}",
                "make room",
            )
        ]  # fmt: skip
    return []
