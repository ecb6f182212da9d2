"""Switches of table ownership under load, copy and verification rates; nothing may be lost.

    make bench-split                      about eight minutes
    make bench-split ARGS="--rounds 2"    fewer switches

Starts two private PostgreSQL servers (fsync on). In each of four settings (two servers and one cluster, moderate
load and saturated) eight writers, a reader and a bulk job run against the service's tables while they are
switched there and back. Then rows are copied beside `pg_dump | psql` (and pgcopydb where it is installed), in
interleaved rounds, and compared. Prints tables and writes .bench/split.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from migrate.split.dump import client_programs
from migrate.split.model import Limits
from migrate.split.names import Direction, Side
from migrate.split.operations import run_split, run_switch
from migrate.split.verify.verification import verify
from tests.support.split_lab import ROWS, SCHEMA, Pair, judge, workload
from tests.support.split_servers import SplitServers, start_servers

REPORT = Path(".bench/split.json")
SETTINGS = (
    ("two servers, 200 writes/s", False, 200),
    ("one cluster, 200 writes/s", True, 200),
    ("two servers, saturated", False, 0),
    ("one cluster, saturated", True, 0),
)
#: Switches of one setting in one round: there, back, there.
DIRECTIONS = (Direction.FORWARD, Direction.REVERSE, Direction.FORWARD)
PAUSE_BETWEEN = 2.0  # seconds of traffic on each owner
COPY_ROUNDS = 3
console = Console()


@dataclass
class Setting:
    """What one setting gave."""

    name: str
    pauses_ms: list[float] = field(default_factory=list)
    predicted_ms: list[float] = field(default_factory=list)
    stalls_ms: list[float] = field(default_factory=list)
    canary_ms: list[float] = field(default_factory=list)
    writes: int = 0
    errors: list[str] = field(default_factory=list)
    lost: int = 0
    slowest_write_ms: float = 0.0
    slowest_in_switch_ms: float = 0.0
    equal: bool = True
    timelines: list[dict[str, float]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=2, help="rounds of three switches per setting"
    )
    parser.add_argument(
        "--users", type=int, default=1500, help="conversations in the switched tables"
    )
    parser.add_argument("--copy-rows", type=int, default=600_000, help="messages that are copied")
    arguments = parser.parse_args()
    with _servers() as servers:
        report = uvloop.run(_measure(servers, arguments))
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"written to {REPORT}")
    figures = report["figures"]
    if figures["lost_writes"] or figures["client_errors"] or not figures["tables_equal"]:
        sys.exit("rows were lost, or clients saw errors")


@contextmanager
def _servers() -> Iterator[SplitServers]:
    directory = Path(tempfile.mkdtemp(prefix="bench-split-"))
    directory.chmod(0o755)
    try:
        yield from start_servers(directory, quick=False)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _measure(servers: SplitServers, arguments: argparse.Namespace) -> dict[str, Any]:
    settings = [Setting(name) for name, _, _ in SETTINGS]
    for number in range(arguments.rounds):
        for setting, (_, one_cluster, rate) in zip(settings, SETTINGS, strict=True):
            console.print(f"round {number + 1}: {setting.name}")
            await _switch(servers, setting, one_cluster, rate, arguments.users)
    _show_switches(settings)
    copies = await _copy_rounds(servers, arguments.copy_rows)
    pauses = [pause for setting in settings for pause in setting.pauses_ms]
    figures = {
        "switches": len(pauses),
        "lost_writes": sum(setting.lost for setting in settings),
        "client_errors": sum(len(setting.errors) for setting in settings),
        "tables_equal": all(setting.equal for setting in settings) and copies.pop("equal"),
        "pause_ms_median": round(statistics.median(pauses), 2),
        "pause_ms_worst": round(max(pauses), 2),
        "stall_ms_worst": round(max((s for x in settings for s in x.stalls_ms), default=0.0), 2),
        "client_write_during_switch_ms_worst": max(s.slowest_in_switch_ms for s in settings),
        "acknowledged_writes": sum(setting.writes for setting in settings),
        **copies["figures"],
    }
    details = {setting.name: setting.__dict__ for setting in settings}
    _show_figures(figures, copies["ratios"])
    return {
        "figures": figures,
        "ratios": copies["ratios"],
        "settings": details,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
    }


async def _switch(
    servers: SplitServers, setting: Setting, one_cluster: bool, rate: int, users: int
) -> None:
    schema = SCHEMA + ROWS.format(users=users, messages=40, archive=20_000)
    async with (
        servers.pair(one_cluster=one_cluster, schema=schema) as pair,
        workload(pair, writes_per_second=rate, bulk_rows=300, bulk_pause_seconds=1.0) as clients,
        pair.context(limits=Limits(max_pause_ms=10_000.0, gate_seconds=120.0)) as context,
    ):
        await run_split(context)
        windows: list[tuple[float, float]] = []
        for direction in DIRECTIONS:
            started = time.time()
            outcome, report = await run_switch(context, direction)
            windows.append((started, time.time()))
            setting.pauses_ms.append(report["pause_ms"])
            setting.predicted_ms.append(report["predicted_ms"])
            setting.stalls_ms += report["stalls_ms"]
            setting.timelines.append(report["timeline_ms"])
            setting.canary_ms.append(outcome.data["proof"]["slowest_ms"])
            setting.lost += outcome.data["proof"]["lost"]
            await asyncio.sleep(PAUSE_BETWEEN)
        seen = await clients.stop()
        setting.writes += seen["writes"]
        setting.errors += seen["errors"]
        setting.slowest_write_ms = max(setting.slowest_write_ms, round(seen["slowest_write_ms"], 1))
        inside = [
            milliseconds
            for at, milliseconds in seen["slow"]
            if any(start <= at <= end + 0.2 for start, end in windows)
        ]
        setting.slowest_in_switch_ms = max(setting.slowest_in_switch_ms, *inside, 0.0)
        result = await verify(context, Direction.REVERSE)
        setting.equal = setting.equal and result.is_equal
        for side in Side:
            setting.lost += sum(len(keys) for keys in (await judge(pair, seen, side)).values())


# ---- copy and verification --------------------------------------------------------------------------


async def _copy_rounds(servers: SplitServers, rows: int) -> dict[str, Any]:
    users = max(1, rows // 200)
    schema = SCHEMA + ROWS.format(users=users, messages=200, archive=1000)
    ours: list[float] = []
    peers: dict[str, list[float]] = {"pg_dump": [], "pgcopydb": []}
    rates: list[float] = []
    verify_rates: list[float] = []
    equal = True
    peak_kib: list[int] = []
    async with servers.pair(schema=schema) as source:
        total = await source.fetchval(Side.SHARED, "SELECT count(*) FROM messages")
        for number in range(COPY_ROUNDS):
            console.print(f"copy round {number + 1}: {total:,} messages")
            peers["pg_dump"].append(await _pg_dump(servers, source))
            if (seconds := await _pgcopydb(servers, source)) is not None:
                peers["pgcopydb"].append(seconds)
            async with servers.pair(schema=schema) as pair, pair.context() as context:
                before = _rss_kib()
                outcome = await run_split(context, copy_jobs=2, verify_jobs=1)
                peak_kib.append(_rss_kib() - before)
                data = outcome.data
                ours.append(sum(outcome.step_seconds[name] for name in COPY_STEPS))
                rates.append(data["copy"]["rows_per_second"])
                result = await verify(context, Direction.FORWARD, jobs=1)
                equal = equal and result.is_equal
                verify_rates.append(result.hashed_rows / result.seconds / 2)  # one core per side
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
    """Seconds of `pgcopydb clone` for the same tables; None where it is not installed."""
    program = shutil.which("pgcopydb")
    if program is None:
        return None
    name = f"peer2_{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="pgcopydb-") as work:
        filters = Path(work) / "filters.ini"
        filters.write_text(
            "[exclude-schema]\nstrangler\n\n[exclude-table]\npublic.users\n", encoding="utf-8"
        )
        async with _fresh_database(servers, name) as target:
            started = time.monotonic()
            await _shell(
                f"{program} clone --dir {work}/state --filters {filters} --table-jobs 2 --index-jobs 2"
                f" --no-owner --no-acl --source '{source.shared}' --target '{target}' > {work}/log 2>&1 || true"
            )
            seconds = time.monotonic() - started
            copied = await _count(target)
            expected = await source.fetchval(Side.SHARED, "SELECT count(*) FROM messages")
            return seconds if copied == expected else None


async def _count(target: str) -> int:
    import asyncpg

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
        import asyncpg

        connection = await asyncpg.connect(self.url)
        await connection.execute(statement)
        await connection.close()


async def _shell(command: str) -> None:
    process = await asyncio.create_subprocess_shell(command)
    await process.wait()


# ---- tables -----------------------------------------------------------------------------------------


def _show_switches(settings: list[Setting]) -> None:
    table = Table(
        "setting", "switches", "pause median", "worst", "slowest client write in a switch", "writes", "errors",
        "lost", "equal",
    )  # fmt: skip
    for setting in settings:
        table.add_row(
            setting.name,
            str(len(setting.pauses_ms)),
            f"{statistics.median(setting.pauses_ms):.1f} ms",
            f"{max(setting.pauses_ms):.1f} ms",
            f"{setting.slowest_in_switch_ms:.0f} ms",
            f"{setting.writes:,}",
            str(len(setting.errors)),
            str(setting.lost),
            str(setting.equal),
        )
    console.print(table)


def _show_figures(figures: dict[str, Any], ratios: dict[str, float]) -> None:
    table = Table("figure", "value")
    for name, value in (figures | ratios).items():
        table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    console.print(table)


if __name__ == "__main__":
    main()
