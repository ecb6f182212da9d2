"""kill -9 at every boundary of every step, taken from the tables that the code runs."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from migrate.split.abort import abort_plan, leftovers
from migrate.split.finalize import finalize_plan
from migrate.split.names import Direction, Side
from migrate.split.operations import run_plan, run_split, run_switch
from migrate.split.split_plan import split_plan
from migrate.split.switch import SwitchOptions
from migrate.split.switch_plan import switch_plan
from migrate.split.verify.verification import verify
from migrate.steps import Boundary
from shared.control.store import RouteFact
from shared.control.watch import ControlWatcher
from shared.placement.database import Database
from shared.placement.pools import PoolSettings, open_pools
from shared.placement.source import WatchedPlacement
from shared.states import DataState
from tests.support.split_child import start_child
from tests.support.split_lab import Pair
from tests.support.split_servers import SplitServers

#: While writers wait the journal is silent: there, what is behind one step is not what is before the next.
URGENT = ("hold", "lock", "token", "applied", "flush", "fence", "open", "place", "release")

pytestmark = pytest.mark.timeout(300)


def boundaries_of(steps: tuple[str, ...]) -> list[tuple[str, Boundary]]:
    """Before every step of a plan, and behind the last one and the urgent ones."""
    found = []
    for step in steps:
        found.append((step, Boundary.STARTED))
        if step in URGENT or step == steps[-1]:
            found.append((step, Boundary.APPLIED))
    return found


ROUTES = (RouteFact("chat.talk", "chat", True), RouteFact("chat.history", "chat", False))


@asynccontextmanager
async def service_of(pair: Pair) -> AsyncIterator[Database]:
    """The database access of a service, as its processes have it."""
    watcher = ControlWatcher(pair.shared)
    pools = await open_pools(
        "chat/test", shared_dsn=pair.shared, own_dsn=pair.own, settings=PoolSettings(max_size=4)
    )
    await watcher.start()
    try:
        yield Database("chat", pools, WatchedPlacement(watcher))
    finally:
        await watcher.stop()
        await pools.close()


async def write(service: Database, body: str) -> None:
    """One write that must get through, whatever state a dead command has left behind."""
    await service.transaction(
        lambda connection: connection.execute("INSERT INTO public.archive (body) VALUES ($1)", body)
    )


async def test_a_switch_killed_at_every_boundary_lets_writers_go_on_and_is_finished_by_the_next_run(
    split_servers: SplitServers,
) -> None:
    """Writers need no second run of the command: the server's timers or the stream set them free.

    The switch goes back and forth, so that each boundary is met in one of the directions; the steps
    of both come from one table. Routes move along under a hold, so that every step has work to do.
    """
    written: list[str] = []
    boundaries = boundaries_of(switch_plan(Direction.FORWARD).names)
    options = SwitchOptions(direct=True)
    async with (
        split_servers.pair(routes=ROUTES) as pair,
        pair.context() as context,
        service_of(pair) as service,
    ):
        await run_split(context, copy_jobs=2, direct=True)
        direction = Direction.FORWARD
        for step, boundary in boundaries:
            code = await start_child(pair, direction.value, step, boundary, direct=True).wait()
            assert code in (-signal.SIGKILL, 0), f"{step} {boundary}"  # 0: step not needed
            written.append(f"{step} {boundary}")
            await write(service, written[-1])
            await run_switch(context, direction, options)
            assert await pair.desk.held() == (), f"{step} {boundary}"
            percent = 100.0 if direction is Direction.FORWARD else 0.0
            assert set((await pair.desk.percents()).values()) == {percent}, f"{step} {boundary}"
            direction = direction.opposite
        for side in Side:
            rows = await pair.fetchval(
                side, "SELECT array_agg(body ORDER BY id) FROM public.archive WHERE id > 500"
            )
            assert rows == written
        assert (await verify(context, direction)).is_equal


async def test_a_split_and_its_end_killed_at_every_boundary_leave_nothing_behind(
    split_servers: SplitServers, tmp_path: Path
) -> None:
    async with split_servers.pair() as pair, pair.context() as context, service_of(pair) as service:
        for step, boundary in boundaries_of(split_plan().names):
            await start_child(pair, "split", step, boundary).wait()
            await write(service, f"{step} {boundary}")
        await run_split(context)
        result = await verify(context, Direction.FORWARD)
        assert result.is_equal
        for step, boundary in boundaries_of(abort_plan(tmp_path).names):
            await start_child(pair, "abort", step, boundary, backups=tmp_path).wait()
            await write(service, f"abort {step} {boundary}")
        await run_plan(context, abort_plan(tmp_path))
        assert await leftovers(context) == {"shared": [], "own": []}
        assert (await pair.desk.placement()).state is DataState.SHARED
        assert await pair.fetchval(Side.OWN, "SELECT to_regclass('public.messages')") is None


async def test_a_finalize_killed_at_every_boundary_is_finished_by_the_next_run(
    split_servers: SplitServers, tmp_path: Path
) -> None:
    async with split_servers.pair() as pair, pair.context() as context, service_of(pair) as service:
        await run_split(context, copy_jobs=2)
        await run_switch(context, Direction.FORWARD)
        for step, boundary in boundaries_of(finalize_plan(0.0, tmp_path).names):
            await start_child(pair, "finalize", step, boundary, backups=tmp_path).wait()
            await write(service, f"{step} {boundary}")
        await run_plan(context, finalize_plan(0.0, tmp_path))
        assert await leftovers(context) == {"shared": [], "own": []}
        assert (await pair.desk.placement()).state is DataState.FINAL


@pytest.mark.parametrize("crashed", list(Side))
async def test_a_copy_survives_the_crash_of_a_server(
    split_servers: SplitServers, crashed: Side
) -> None:
    """The shared server takes the snapshot along, so the copy starts over; the own one keeps its pieces."""
    async with split_servers.pair() as pair:
        child = start_child(pair, "split", "copy", Boundary.STARTED, with_signal=signal.SIGSTOP)
        await child.wait_until_stopped()
        server = split_servers.server(crashed)
        await server.kill("postgres")
        child.thaw()
        await child.wait()
        await server.start("postgres")
        async with pair.context() as context:
            outcome = await run_split(context)
            assert ("snapshot" in outcome.applied) is (crashed is Side.SHARED)
            assert (await verify(context, Direction.FORWARD)).is_equal


async def test_a_copy_goes_on_with_the_pieces_that_are_missing_after_the_command_was_killed(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        await start_child(pair, "split", "copy", Boundary.STARTED).wait()
        slot = context.names.slot(Direction.FORWARD)
        created = "SELECT catalog_xmin::text FROM pg_replication_slots WHERE slot_name = $1"
        snapshot = f"SELECT snapshot FROM {context.names.relation('snapshot')}"
        before = await pair.fetchval(Side.SHARED, snapshot)
        assert before is not None
        await start_child(pair, "split", "copy", Boundary.STARTED).wait()
        assert await pair.fetchval(Side.SHARED, snapshot) == before
        assert await pair.fetchval(Side.SHARED, created, slot) is not None
        outcome = await run_split(context)
        assert "snapshot" in outcome.skipped
        assert (await verify(context, Direction.FORWARD)).is_equal
