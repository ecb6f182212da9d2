"""Switches through the whole stack, client to database, under 200 requests a second, for bench_split."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from migrate.split.context import SplitContext
from migrate.split.desk import Desk
from migrate.split.model import Endpoint, Limits
from migrate.split.names import Direction, Side
from migrate.split.operations import run_split, run_switch
from migrate.split.setup import split_spec
from migrate.split.switch import SwitchOptions
from migrate.stack.local import LocalStack
from shared.control.model import FlagChange
from shared.control.store import ControlStore
from shared.manifest import load_manifest
from tests.support.split_chatters import SLOW_MS, chatters
from tests.support.split_lab import REPOSITORY

SERVICE = "chat"
REQUESTS_PER_SECOND = 200.0
PEOPLE = 40
#: Traffic after the copy and on each owner, in seconds.
WARM_UP, PAUSE_BETWEEN = 4.0, 2.0
#: Routes and tables together, from the monolith and back to it; then the tables alone.
DIRECT = (Direction.FORWARD, Direction.REVERSE)
ALONE = (Direction.FORWARD, Direction.REVERSE, Direction.FORWARD)
START_SECONDS = 180.0
MANIFEST = REPOSITORY / "migration.toml"


async def stack_figures() -> dict[str, Any]:
    """Requests, failures, and the slowest request of each kind of switch in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="bench-split-stack-") as folder:
        async with _stack(Path(folder)) as stack, _context(stack) as context:
            return await _measure(stack, context)


async def _measure(stack: LocalStack, context: SplitContext) -> dict[str, Any]:
    windows: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    pauses: list[float] = []
    lost = 0
    url = stack.facts.public_url
    async with chatters(url, rate=REQUESTS_PER_SECOND, people=PEOPLE) as people:
        await run_split(context, direct=True)
        await asyncio.sleep(WARM_UP)
        for is_direct, directions in ((True, DIRECT), (False, ALONE)):
            if not is_direct:
                await _to_the_service(context)
                await asyncio.sleep(PAUSE_BETWEEN)
            for direction in directions:
                begun = time.time()
                outcome, report = await run_switch(
                    context, direction, SwitchOptions(direct=is_direct, hold_seconds=5.0)
                )
                windows[is_direct].append((begun, time.time() + 0.2))
                pauses.append(report["pause_ms"])
                lost += outcome.data["proof"]["lost"]
                await asyncio.sleep(PAUSE_BETWEEN)
        seen = await people.stop()
    for side in Side:
        lost += await _lost_edits(context, side, seen["edits"])
    return {
        "stack_switches": len(pauses),
        "stack_requests": seen["requests"],
        "stack_requests_per_second": round(seen["per_second"], 1),
        "stack_failed": len(seen["failures"]),
        "stack_stale_reads": len(seen["stale"]),
        "stack_lost_writes": lost,
        "stack_pause_ms_worst": max(pauses),
        "stack_request_ms_worst_in_switch": _slowest(seen["slow"], windows[False]),
        "stack_request_ms_worst_in_direct_switch": _slowest(seen["slow"], windows[True]),
        "stack_request_ms_worst": round(seen["slowest_ms"], 1),
        "stack_failures": seen["failures"][:5],
    }


def _slowest(slow: list[tuple[float, float]], windows: list[tuple[float, float]]) -> float:
    """The slowest request that ended in one of the windows; at least what is not reported at all."""
    inside = (ms for at, ms in slow if any(start <= at <= end for start, end in windows))
    return max(inside, default=SLOW_MS)


async def _to_the_service(context: SplitContext) -> None:
    desk = context.control_desk
    routes = await desk.routes(writing_only=False)
    change = await desk.store.set_flags(
        dict.fromkeys(routes, FlagChange(percent=100.0)), actor="bench", reason="traffic first"
    )
    await desk.everywhere(change, 10.0)


async def _lost_edits(context: SplitContext, side: Side, edits: dict[str, str]) -> int:
    connection = await context.control(side)
    rows = await connection.fetch(
        "SELECT id::text, content FROM public.messages WHERE id = ANY ($1::text[]::uuid[])",
        list(edits),
    )
    found = {row["id"]: row["content"] for row in rows}
    return sum(found.get(key) != content for key, content in edits.items())


@asynccontextmanager
async def _stack(directory: Path) -> AsyncIterator[LocalStack]:
    """Router, monolith and the chat service on servers and ports of their own."""
    await asyncio.to_thread(_command, directory, "up", "--only", SERVICE)
    try:
        yield LocalStack(directory, load_manifest(MANIFEST), MANIFEST)
    finally:
        await asyncio.to_thread(_command, directory, "down", "--wipe", "--yes")


def _command(directory: Path, *words: str) -> None:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STACK_")}
    subprocess.run(
        [sys.executable, "-m", "migrate.cli", "--stack", str(directory), *words],
        cwd=REPOSITORY,
        env={**ours, "STACK_OWNER_PID": str(os.getpid()), "STACK_PUBLIC_PORT": "0"},
        timeout=START_SECONDS,
        check=True,
    )


@asynccontextmanager
async def _context(stack: LocalStack) -> AsyncIterator[SplitContext]:
    """The split as the command builds it, in this process: starting a command would itself be load."""
    facts = stack.facts
    store = await ControlStore.connect(facts.shared_url)
    context = await SplitContext.open(
        split_spec(load_manifest(MANIFEST), SERVICE),
        Endpoint(Side.SHARED, facts.shared_url),
        Endpoint(Side.OWN, facts.own_urls[SERVICE]),
        limits=Limits(max_pause_ms=10_000.0, gate_seconds=120.0),
        desk=Desk(store, SERVICE, "bench"),
    )
    try:
        yield context
    finally:
        await context.close()
        await store.close()
