"""Frozen commands, frozen apply workers, and servers that crash in the middle of a switch."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import asyncpg
import pytest

from migrate.split.fence import ACCEPTING, FenceState
from migrate.split.names import Direction, Side
from migrate.split.operations import run_split, run_switch
from migrate.split.stream import TokenLateError
from migrate.split.switch import read_ownership
from migrate.split.verify.verification import verify
from migrate.steps import Boundary, StepFailedError
from shared.states import DataState
from tests.faults.split.test_killed_commands import service_of, write
from tests.support.split_child import start_child
from tests.support.split_lab import PATIENT, Pair, judge, workload
from tests.support.split_servers import SplitServers

pytestmark = pytest.mark.timeout(300)

#: The server ends a frozen command's transaction after this long.
IMPATIENT = replace(PATIENT, fence_session_ms=400)


async def apply_worker(pair: Pair, side: Side) -> int:
    pid = await pair.fetchval(
        side, "SELECT pid FROM pg_stat_subscription WHERE subname LIKE 'split%' AND pid IS NOT NULL"
    )
    assert isinstance(pid, int)
    return pid


@pytest.mark.parametrize("step", ["lock", "flush"])
async def test_trap_16_a_frozen_command_holds_writers_only_until_the_servers_own_timer(
    split_servers: SplitServers, step: str
) -> None:
    async with split_servers.pair() as pair, pair.context() as context, service_of(pair) as service:
        await run_split(context)
        child = start_child(
            pair, "forward", step, Boundary.APPLIED, with_signal=signal.SIGSTOP, limits=IMPATIENT
        )
        await child.wait_until_stopped()
        await write(service, "while the command is frozen")
        assert (await read_ownership(context)).owner is Side.SHARED
        child.thaw()
        assert await child.wait() == 1  # it finds its transaction gone and takes everything back
        assert (await pair.desk.placement()).state is DataState.FOLLOWING
        await run_switch(context, Direction.FORWARD)
        assert (await verify(context, Direction.REVERSE)).is_equal


async def test_a_frozen_apply_worker_calls_the_switch_off_without_an_error_for_anybody(
    split_servers: SplitServers,
) -> None:
    limits = replace(PATIENT, token_seconds=0.1, token_attempts=2, gate_seconds=1.0)
    async with (
        split_servers.pair() as pair,
        workload(pair, writes_per_second=100) as clients,
        pair.context(limits=limits) as context,
    ):
        await run_split(context)
        worker = await apply_worker(pair, Side.OWN)
        frozen = asyncio.Event()

        def freeze_at_lock(event: object) -> None:
            if getattr(event, "step", "") == "lock" and not frozen.is_set():
                os.kill(worker, signal.SIGSTOP)
                frozen.set()

        context.observer = freeze_at_lock
        with pytest.raises(StepFailedError) as caught:
            await run_switch(context, Direction.FORWARD)
        os.kill(worker, signal.SIGCONT)
        assert isinstance(caught.value.__cause__, TokenLateError)
        assert caught.value.undone
        assert (await read_ownership(context)).owner is Side.SHARED
        await run_switch(context, Direction.FORWARD)
        report = await clients.stop()
        assert report["errors"] == []
        assert (await verify(context, Direction.REVERSE)).is_equal
        for side in Side:
            assert await judge(pair, report, side) == {"lost": [], "stale": [], "resurrected": []}


async def test_a_worker_frozen_behind_the_fence_is_replaced_by_the_command(
    split_servers: SplitServers,
) -> None:
    """The loser has committed: the winner must open, with or without its apply worker."""
    async with split_servers.pair() as pair, pair.context() as context:
        await run_split(context)
        worker = await apply_worker(pair, Side.OWN)

        def freeze_at_fence(event: object) -> None:
            is_fence = getattr(event, "step", "") == "fence"
            if is_fence and getattr(event, "boundary", None) is Boundary.STARTED:
                os.kill(worker, signal.SIGSTOP)

        context.observer = freeze_at_fence
        switch = asyncio.create_task(run_switch(context, Direction.FORWARD))
        async with asyncio.timeout(30):
            while (await ownership_of(pair)).get(Side.OWN) not in ACCEPTING:
                await asyncio.sleep(0.02)
        os.kill(worker, signal.SIGCONT)
        await switch
        assert (await verify(context, Direction.REVERSE)).is_equal


async def ownership_of(pair: Pair) -> dict[Side, FenceState]:
    async with pair.context() as context:
        return dict((await read_ownership(context)).fences)


@pytest.mark.parametrize(
    ("crashed", "step", "boundary"),
    [
        (Side.OWN, "applied", Boundary.APPLIED),  # seen there, perhaps not on its disk
        (Side.OWN, "fence", Boundary.APPLIED),  # perhaps not open yet
        (Side.OWN, "place", Boundary.STARTED),
        (Side.SHARED, "place", Boundary.STARTED),
        (Side.SHARED, "flush", Boundary.APPLIED),
    ],
)
async def test_trap_02_a_server_that_crashes_in_the_middle_of_a_switch_loses_nothing_it_has_shown(
    split_servers: SplitServers, crashed: Side, step: str, boundary: Boundary
) -> None:
    async with split_servers.pair() as pair:
        async with pair.context() as context:
            await run_split(context)
        server = split_servers.server(crashed)
        async with service_of(pair) as service:
            await write(service, "before")
            child = start_child(
                pair, "forward", step, boundary, with_signal=signal.SIGSTOP, limits=PATIENT
            )
            await child.wait_until_stopped()
            await server.kill("postgres")
            child.thaw()
            await child.wait()
            await server.start("postgres")
            await write_patiently(service, "after")
        async with pair.context() as context:
            await run_switch(context, Direction.FORWARD)
            assert (await verify(context, Direction.REVERSE)).is_equal
            for side in Side:
                bodies = await pair.fetchval(
                    side, "SELECT array_agg(body ORDER BY id) FROM public.archive WHERE id > 500"
                )
                assert bodies == ["before", "after"]


async def write_patiently(service: object, body: str) -> None:
    """A server that was just started may refuse a connection or two."""
    for _ in range(100):
        try:
            await write(service, body)  # type: ignore[arg-type]
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError("the write never got through")
