"""How long a writer waits when the command is killed or frozen in the middle of a switch, for bench_split."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from migrate.split.model import Limits
from migrate.split.names import Direction, Side
from migrate.split.operations import run_split, run_switch
from migrate.split.verify.verification import verify
from migrate.steps import Boundary
from shared.placement.database import Database
from tests.faults.split.test_killed_commands import service_of
from tests.support.split_child import start_child
from tests.support.split_servers import SplitServers

#: Where the command ends: before and behind everything that happens while writers wait.
KILLED_AT = (
    ("lock", Boundary.APPLIED),
    ("token", Boundary.APPLIED),
    ("applied", Boundary.APPLIED),
    ("flush", Boundary.APPLIED),
    ("fence", Boundary.APPLIED),  # no side is open: the stream opens the new owner
)
FROZEN_AT = (("lock", Boundary.APPLIED), ("flush", Boundary.APPLIED))
LIMITS = Limits(max_pause_ms=10_000.0, gate_seconds=60.0)


async def fault_figures(servers: SplitServers) -> dict[str, Any]:
    """Slowest writes in milliseconds, by fault; errors of the writer; whether the sides are equal."""
    killed: list[float] = []
    frozen: list[float] = []
    errors: list[str] = []
    async with (
        servers.pair() as pair,
        pair.context(limits=LIMITS) as context,
        service_of(pair) as service,
    ):
        await run_split(context)
        direction = Direction.FORWARD
        for kind, places in ((signal.SIGKILL, KILLED_AT), (signal.SIGSTOP, FROZEN_AT)):
            for step, boundary in places:
                over = asyncio.Event()
                writer = asyncio.create_task(_write(service, over, errors))
                child = start_child(
                    pair, direction.value, step, boundary, with_signal=kind, limits=LIMITS
                )
                if kind is signal.SIGSTOP:
                    await child.wait_until_stopped()
                    await asyncio.sleep(2.0)  # longer than any timer of the server
                    child.thaw()
                await child.wait()
                await asyncio.sleep(0.5)
                over.set()
                (killed if kind is signal.SIGKILL else frozen).append(await writer)
                await run_switch(context, direction)
                direction = direction.opposite
        owner = Direction.REVERSE if direction is Direction.REVERSE else Direction.FORWARD
        result = await verify(context, owner)
        rows = {
            side: await pair.fetchval(side, "SELECT count(*) FROM public.archive") for side in Side
        }
    return {
        "writer_freed_after_kill_ms_worst": round(max(killed), 1),
        "writer_freed_after_freeze_ms_worst": round(max(frozen), 1),
        "writer_errors_at_faults": len(errors),
        "equal_after_faults": result.is_equal and len(set(rows.values())) == 1,
    }


async def _write(service: Database, over: asyncio.Event, errors: list[str]) -> float:
    """One write after the other; the slowest, in milliseconds."""
    slowest = 0.0
    while not over.is_set():
        started = time.monotonic()
        try:
            await service.transaction(
                lambda connection: connection.execute(
                    "INSERT INTO public.archive (body) VALUES ('through a fault')"
                )
            )
        except Exception as error:  # every kind counts: none may reach a client
            errors.append(repr(error))
        slowest = max(slowest, (time.monotonic() - started) * 1000.0)
        await asyncio.sleep(0.005)
    return slowest
