"""Runs an operation of a split in a process of its own and ends or freezes it at one boundary of one step."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migrate.split.abort import abort_plan
from migrate.split.context import SplitContext
from migrate.split.desk import Desk
from migrate.split.finalize import finalize_plan
from migrate.split.model import Endpoint, Limits, SplitSpec
from migrate.split.names import Direction, Side
from migrate.split.operations import run_plan, run_split, run_switch
from migrate.split.switch import SwitchOptions
from migrate.steps import Boundary, Progress, StepEvent, StepFailedError
from shared.control.store import ControlStore
from tests.support.split_lab import Pair

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.support.split_child"])


@dataclass(frozen=True)
class Order:
    """What the process does: `kind` is split, forward, reverse, abort or finalize."""

    kind: str
    step: str
    boundary: Boundary
    signal: int
    shared: str
    own: str
    service: str
    spec: SplitSpec
    limits: Limits
    backups: str = ""
    direct: bool = False


def _run(order: Order) -> None:
    try:
        asyncio.run(_operate(order))
    except StepFailedError:  # as the command: a code for the parent, no trace
        sys.exit(1)


async def _operate(order: Order) -> None:
    def observe(event: StepEvent | Progress) -> None:
        if (
            isinstance(event, StepEvent)
            and event.step == order.step
            and event.boundary is order.boundary
        ):
            os.kill(os.getpid(), order.signal)

    store = await ControlStore.connect(order.shared)
    context = await SplitContext.open(
        order.spec,
        Endpoint(Side.SHARED, order.shared),
        Endpoint(Side.OWN, order.own),
        limits=order.limits,
        observer=observe,
        desk=Desk(store, order.service, "child"),
    )
    await OPERATIONS[order.kind](context, order)
    await context.close()
    await store.close()


OPERATIONS: dict[str, Callable[[SplitContext, Order], Any]] = {
    "split": lambda context, order: run_split(context, copy_jobs=2, direct=order.direct),
    "forward": lambda context, order: run_switch(
        context, Direction.FORWARD, SwitchOptions(direct=order.direct)
    ),
    "reverse": lambda context, order: run_switch(
        context, Direction.REVERSE, SwitchOptions(direct=order.direct)
    ),
    "abort": lambda context, order: run_plan(context, abort_plan(Path(order.backups))),
    "finalize": lambda context, order: run_plan(context, finalize_plan(0.0, Path(order.backups))),
}


def _state_of(pid: int) -> str:
    """The letter of the process's state: R, S, T, …"""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class Child:
    """The process; `end` waits for it, or thaws and waits."""

    def __init__(self, process: Any) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    async def wait(self, seconds: float = 90.0) -> int:
        """Exit code; negative for the signal that ended it."""
        await asyncio.to_thread(self._process.join, seconds)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"the process did not end within {seconds} s")
        return code

    async def wait_until_stopped(self, seconds: float = 60.0) -> None:
        """Until SIGSTOP has taken effect."""
        async with asyncio.timeout(seconds):
            while _state_of(self.pid) != "T":
                await asyncio.sleep(0.01)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


def start_child(
    pair: Pair,
    kind: str,
    step: str = "",
    boundary: Boundary = Boundary.STARTED,
    *,
    with_signal: int = signal.SIGKILL,
    limits: Limits | None = None,
    backups: Path | None = None,
    direct: bool = False,
) -> Child:
    """Start it; without a step it runs to its end."""
    order = Order(
        kind, step, boundary, with_signal, pair.shared, pair.own, pair.spec.service,
        replace(pair.spec, deletion_events=dict(pair.spec.deletion_events)),
        limits or pair.limits, str(backups or ""), direct,
    )  # fmt: skip
    process = _processes.Process(target=_run, args=(order,))
    process.start()
    return Child(process)
