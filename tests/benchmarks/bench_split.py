"""Switches of table ownership under load, copy and verification rates; nothing may be lost.

    make bench-split                      about five minutes
    make bench-split ARGS="--rounds 1"    fewer switches
    make bench-split ARGS="--no-stack"    without router, monolith and service

Starts two private PostgreSQL servers (fsync on). In each of four settings (two servers and one cluster, moderate
load and saturated) eight writers, a reader and a bulk job run against the service's tables while they are
switched there and back. The command is killed and frozen in the middle of switches. A whole stack serves 200
requests a second while chat moves. Then rows are copied beside `pg_dump | psql` (and pgcopydb where it is
installed), in interleaved rounds, and compared. Prints tables and writes .bench/split.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from tests.benchmarks.split_copies import copy_rounds
from tests.benchmarks.split_faults import fault_figures
from tests.benchmarks.split_stack import stack_figures
from tests.benchmarks.split_switches import SETTINGS, Setting, switch_round, table_of
from tests.support.split_servers import SplitServers, start_servers

REPORT = Path(".bench/split.json")
#: No copy round begins later than this after the start, in seconds, so that the whole ends in six minutes.
COPY_UNTIL_SECONDS = 290.0
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=2, help="rounds of three switches per setting"
    )
    parser.add_argument(
        "--users", type=int, default=1500, help="conversations in the switched tables"
    )
    parser.add_argument("--copy-rows", type=int, default=600_000, help="messages that are copied")
    parser.add_argument("--no-stack", action="store_true", help="leave out the whole stack")
    arguments = parser.parse_args()
    with _servers() as servers:
        report = uvloop.run(_measure(servers, arguments))
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"written to {REPORT}")
    if not report["is_clean"]:
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
    begun = time.monotonic()
    stack: dict[str, Any] = {}
    if not arguments.no_stack:
        console.print("the whole stack")
        stack = await stack_figures()
    settings = [Setting(name) for name, _, _ in SETTINGS]
    for number in range(arguments.rounds):
        for setting, (_, one_cluster, rate) in zip(settings, SETTINGS, strict=True):
            console.print(f"round {number + 1}: {setting.name}")
            await switch_round(servers, setting, one_cluster, rate, arguments.users)
    console.print(table_of(settings))
    console.print("killed and frozen commands")
    faults = await fault_figures(servers)
    copies = await copy_rounds(
        servers, arguments.copy_rows, begun + COPY_UNTIL_SECONDS, console.print
    )
    figures = _figures(settings) | copies["figures"] | faults | stack
    failures = figures.pop("stack_failures", [])
    _show(figures | copies["ratios"])
    for failure in failures:
        console.print(f"failed: {failure}", markup=False)
    return {
        "figures": figures,
        "ratios": copies["ratios"],
        "is_clean": _is_clean(figures) and copies["equal"],
        "settings": {setting.name: setting.__dict__ for setting in settings},
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "seconds": round(time.monotonic() - begun, 1),
    }


def _figures(settings: list[Setting]) -> dict[str, Any]:
    pauses = [pause for setting in settings for pause in setting.pauses_ms]
    return {
        "switches": len(pauses),
        "lost_writes": sum(setting.lost for setting in settings),
        "client_errors": sum(len(setting.errors) for setting in settings),
        "tables_equal": all(setting.equal for setting in settings),
        "pause_ms_median": round(statistics.median(pauses), 2),
        "pause_ms_worst": round(max(pauses), 2),
        "stall_ms_worst": round(max((s for x in settings for s in x.stalls_ms), default=0.0), 2),
        "client_write_during_switch_ms_worst": max(s.slowest_in_switch_ms for s in settings),
        "acknowledged_writes": sum(setting.writes for setting in settings),
    }


def _is_clean(figures: dict[str, Any]) -> bool:
    """Nothing lost, nothing stale, no error for anybody, both sides equal."""
    wrong = ("lost_writes", "client_errors", "writer_errors_at_faults", "stack_failed",
             "stack_stale_reads", "stack_lost_writes")  # fmt: skip
    return (
        not any(figures.get(name, 0) for name in wrong)
        and figures["tables_equal"]
        and figures["equal_after_faults"]
    )


def _show(figures: dict[str, Any]) -> None:
    table = Table("figure", "value")
    for name, value in figures.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        table.add_row(name, f"{value:,}" if is_number else str(value))
    console.print(table)


if __name__ == "__main__":
    main()
