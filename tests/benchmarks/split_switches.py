"""Switches of ownership under clients, for bench_split: pauses, errors, and every acknowledged write looked for."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from rich.table import Table

from migrate.split.model import Limits
from migrate.split.names import Direction, Side
from migrate.split.operations import run_split, run_switch
from migrate.split.verify.verification import verify
from tests.support.split_lab import ROWS, SCHEMA, judge, workload
from tests.support.split_servers import SplitServers

#: Name, whether both databases are on one server, and writes a second; 0 is as many as go.
SETTINGS = (
    ("two servers, 200 writes/s", False, 200),
    ("one cluster, 200 writes/s", True, 200),
    ("two servers, saturated", False, 0),
    ("one cluster, saturated", True, 0),
)
#: Switches of one setting in one round: there, back, there.
DIRECTIONS = (Direction.FORWARD, Direction.REVERSE, Direction.FORWARD)
PAUSE_BETWEEN = 2.0  # seconds of traffic on each owner


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


async def switch_round(
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


def table_of(settings: list[Setting]) -> Table:
    """A line for each setting."""
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
    return table
