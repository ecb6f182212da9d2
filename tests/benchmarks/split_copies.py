"""Copies and comparisons of rows beside pg_dump and pgcopydb, for bench_split, in interleaved rounds."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from migrate.split.abort import abort_plan
from migrate.split.dump import client_programs
from migrate.split.names import Direction, Side
from migrate.split.operations import run_plan, run_split
from migrate.split.verify.verification import verify
from tests.support.split_lab import ROWS, SCHEMA, Pair
from tests.support.split_servers import SplitServers

COPY_ROUNDS = 3


async def copy_rounds(
    servers: SplitServers, rows: int, until: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Figures, ratios and `equal`; no round begins after `until` (monotonic seconds) but the first."""
    schema = SCHEMA + ROWS.format(users=max(1, rows // 200), messages=200, archive=1000)
    ours: list[float] = []
    peers: dict[str, list[float]] = {"pg_dump": [], "pgcopydb": []}
    rates: list[float] = []
    verify_rates: list[float] = []
    equal = True
    peak_kib: list[int] = []
    async with servers.pair(schema=schema) as pair, pair.context() as context:
        total = await pair.fetchval(Side.SHARED, "SELECT count(*) FROM messages")
        for number in range(COPY_ROUNDS):
            if number and time.monotonic() > until:
                tell("no time is left for another copy round")
                break
            tell(f"copy round {number + 1}: {total:,} messages")
            peers["pg_dump"].append(await _pg_dump(servers, pair))
            if (seconds := await _pgcopydb(servers, pair)) is not None:
                peers["pgcopydb"].append(seconds)
            before = _rss_kib()
            outcome = await run_split(context, copy_jobs=2, verify_jobs=1)
            peak_kib.append(_rss_kib() - before)
            ours.append(sum(outcome.step_seconds[name] for name in COPY_STEPS))
            rates.append(outcome.data["copy"]["rows_per_second"])
            result = await verify(context, Direction.FORWARD, jobs=1)
            equal = equal and result.is_equal
            verify_rates.append(result.hashed_rows / result.seconds / 2)  # one core per side
            await run_plan(context, abort_plan(Path(tempfile.gettempdir()), check_backup=False))
    figures = {
        "copied_rows": total,
        "copy_rows_per_second": round(statistics.median(rates)),
        "copy_and_index_seconds": round(statistics.median(ours), 2),
        "copy_memory_growth_mb": round(max(peak_kib) / 1024, 1),
        "verify_rows_per_second_per_core": round(statistics.median(verify_rates)),
        **{
            f"{name}_seconds": round(statistics.median(found), 2)
            for name, found in peers.items()
            if found
        },
    }
    ratios = {
        f"copy_speed_to_{name}": round(statistics.median(found) / statistics.median(ours), 2)
        for name, found in peers.items()
        if found
    }
    return {"figures": figures, "ratios": ratios, "equal": equal}


#: What `pg_dump | psql` does as well: schema, rows, keys, indexes, foreign keys, statistics aside.
COPY_STEPS = ("tables", "snapshot", "copy", "keys", "indexes")


def _rss_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _pg_dump(servers: SplitServers, source: Pair) -> float:
    """Seconds for the same tables through one pipe; what it needs but does not carry is made first."""
    name = f"peer_{os.getpid()}"
    folder = client_programs()[0][1]
    tables = " ".join(f"-t {table.name}" for table in source.spec.tables)
    async with _fresh_database(servers, name) as target:
        await _shell(
            f"{folder}/pg_dump -s -n public {source.shared} | grep -v '^CREATE TABLE' > /dev/null; "
            f"{folder}/psql -qX {target} -c \"CREATE TYPE mood AS ENUM ('calm', 'tense')\" -c \"CREATE FUNCTION"
            " touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'\""
        )
        started = time.monotonic()
        await _shell(
            f"{folder}/pg_dump {tables} {source.shared} | {folder}/psql -qX {target} > /dev/null 2>&1"
        )
        return time.monotonic() - started


async def _pgcopydb(servers: SplitServers, source: Pair) -> float | None:
    """Seconds of `pgcopydb clone`; None where it is not installed, or did not copy everything.

    It takes the two small tables beside ours along: its filters break on identity columns (0.10).
    """
    program = shutil.which("pgcopydb")
    if program is None:
        return None
    name = f"peer2_{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="pgcopydb-") as work:
        async with _fresh_database(servers, name) as target:
            started = time.monotonic()
            await _shell(
                f"{program} clone --dir {work}/state --table-jobs 2 --index-jobs 2 --no-owner --no-acl"
                f" --source '{source.shared}' --target '{target}' > {work}/log 2>&1 || true"
            )
            seconds = time.monotonic() - started
            copied = await _count(target)
            expected = await source.fetchval(Side.SHARED, "SELECT count(*) FROM messages")
            return seconds if copied == expected else None


async def _count(target: str) -> int:
    connection = await asyncpg.connect(target)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM public.messages"))
    except asyncpg.PostgresError:
        return -1
    finally:
        await connection.close()


class _fresh_database:  # noqa: N801 - used like a function
    """An empty database on the own server."""

    def __init__(self, servers: SplitServers, name: str) -> None:
        self.url = servers.urls[Side.OWN]
        self.name = name

    async def __aenter__(self) -> str:
        await self._run(f'CREATE DATABASE "{self.name}"')
        return self.url.rsplit("/", 1)[0] + f"/{self.name}"

    async def __aexit__(self, *_: object) -> None:
        await self._run(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute(statement)
        await connection.close()


async def _shell(command: str) -> None:
    # in a session of its own: pgcopydb ends its whole process group when something fails
    process = await asyncio.create_subprocess_shell(command, start_new_session=True)
    await process.wait()
