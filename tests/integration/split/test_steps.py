"""Every step of a split and of a switch: apply, check, undo, check, apply, check."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from migrate.split.abort import abort_plan, leftovers
from migrate.split.hold import NotDrainedError
from migrate.split.names import Direction, Side
from migrate.split.operations import operation, run_plan, run_split, run_switch
from migrate.split.split_plan import split_plan
from migrate.split.switch import SwitchContext, SwitchOptions, read_ownership
from migrate.split.switch_plan import switch_plan
from migrate.split.switch_steps import PastReturnError
from migrate.steps import StepFailedError
from shared.control.instances import InstanceInfo
from shared.control.store import RouteFact
from shared.control.watch import ControlWatcher
from shared.states import DataState
from tests.support.split_lab import Pair
from tests.support.split_servers import SplitServers

pytestmark = pytest.mark.timeout(300)

#: Steps that look or prove and have no effect that could be there already.
PROOFS = {
    "preflight", "catch_up", "catch_up_again", "verify", "gate", "everywhere", "armed", "watch_reads",
}  # fmt: skip
#: Steps of a split whose effect goes with the tables.
WITHOUT_UNDO = {"copy", "keys", "indexes"}
ROUTES = (
    RouteFact("chat.talk", "chat", True),
    RouteFact("chat.history", "chat", False),
    RouteFact("auth.me", "auth", True),
)


async def test_every_step_of_a_switch_can_be_applied_undone_and_applied_again_until_the_fence(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair(routes=ROUTES) as pair, pair.context() as split:
        await run_split(split, direct=True)
        async with operation(split, "cutover"):
            switch = await SwitchContext.begin(
                split, Direction.FORWARD, SwitchOptions(direct=True, hold_seconds=30.0)
            )
            plan = switch_plan(Direction.FORWARD)
            decided = plan.names.index("fence")
            for number, step in enumerate(plan.steps):
                if (await step.check(switch)).is_done:
                    assert step.name in ("open", "proof"), (
                        f"{step.name} is there before it was applied"
                    )
                    continue
                await step.apply(switch)
                if number >= decided:
                    if step.name not in PROOFS:
                        assert (await step.check(switch)).is_done, step.name
                    if number <= plan.names.index("place"):
                        with pytest.raises(PastReturnError):
                            await step.undo(switch)
                        assert (await step.check(switch)).is_done, step.name
                    continue
                if step.name in PROOFS:
                    continue
                assert (await step.check(switch)).is_done, step.name
                await step.undo(switch)
                assert not (await step.check(switch)).is_done, step.name
                await apply_from_lock(plan.steps, number, switch)
                assert (await step.check(switch)).is_done, step.name
            await switch.close()
        assert (await read_ownership(split)).owner is Side.OWN
        assert (await pair.desk.placement()).state is DataState.OWN
        assert await pair.desk.held() == ()


async def apply_from_lock(steps: tuple, number: int, switch: SwitchContext) -> None:  # type: ignore[type-arg]
    """An undone lock takes token and flush along, so those are applied again behind it."""
    for step in steps[: number + 1]:
        if step.name in PROOFS or (await step.check(switch)).is_done:
            continue
        await step.apply(switch)


async def test_every_step_of_a_split_can_be_applied_undone_and_applied_again(
    split_servers: SplitServers, tmp_path: Path
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        async with operation(context, "split"):
            for step in split_plan().steps:
                await step.apply(context)
                if step.name in PROOFS:
                    continue
                assert (await step.check(context)).is_done, step.name
                await step.apply(context)
                assert (await step.check(context)).is_done, step.name
        assert (await pair.desk.placement()).state is DataState.FOLLOWING
        undone = []
        for step in reversed(split_plan().steps):
            await step.undo(context)
            if step.name not in PROOFS | WITHOUT_UNDO:
                undone.append(step.name)
                assert not (await step.check(context)).is_done, step.name
        assert undone[-1] == "claim"
        assert (await pair.desk.placement()).state is DataState.SHARED
        await run_split(context)
        await run_plan(context, abort_plan(tmp_path))
        assert await leftovers(context) == {"shared": [], "own": []}


async def test_routes_and_tables_move_together_under_a_hold_and_come_back(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair(routes=ROUTES) as pair, pair.context() as context:
        options = SwitchOptions(direct=True, hold_seconds=5.0)
        await run_split(context, direct=True)
        for direction, percent in ((Direction.FORWARD, 100.0), (Direction.REVERSE, 0.0)):
            outcome, _ = await run_switch(context, direction, options)
            assert "hold" in outcome.applied
            assert outcome.data["hold"]["routes"] == ("chat.talk",)
            assert await pair.desk.percents() == {"chat.talk": percent, "chat.history": percent}
            assert await pair.desk.held() == ()
        history = await pair.store.history(subject="chat.talk", limit=20)
        holds = [entry.after["hold"] is not None for entry in reversed(history) if entry.after]
        assert holds.count(True) >= 2
        assert (await pair.store.state()).flags["auth.me"].percent == 0.0


async def test_a_direct_switch_that_fails_lets_held_requests_go_on(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair(routes=ROUTES) as pair, pair.context() as context:
        await run_split(context, direct=True)

        interrupted: list[object] = []

        def interrupt(event: object) -> None:
            if getattr(event, "step", "") == "token" and not interrupted:
                interrupted.append(event)
                raise RuntimeError("the operator's terminal went away")

        context.observer = interrupt
        with pytest.raises(Exception, match="terminal"):
            await run_switch(context, Direction.FORWARD, SwitchOptions(direct=True))
        assert await pair.desk.held() == ()
        assert set((await pair.desk.percents()).values()) == {0.0}
        assert (await read_ownership(context)).owner is Side.SHARED


@asynccontextmanager
async def router_with(pair: Pair, under_way: dict[str, int]) -> AsyncIterator[ControlWatcher]:
    """What a router is to the control store: it obeys, and reports what is under way."""
    info = InstanceInfo("router/test", "router", "router", "here", os.getpid())
    watcher = ControlWatcher(
        pair.shared, instance=info, stats=lambda: {"in_flight_by_route": dict(under_way)}
    )
    await watcher.start()
    try:
        yield watcher
    finally:
        await watcher.stop()


async def test_a_direct_switch_waits_for_writing_requests_that_are_under_way(
    split_servers: SplitServers,
) -> None:
    under_way = {"chat.talk/monolith": 2, "chat.history/monolith": 5}
    async with (
        split_servers.pair(routes=ROUTES) as pair,
        pair.context() as context,
        router_with(pair, under_way) as router,
    ):
        await run_split(context, direct=True)
        options = SwitchOptions(direct=True, hold_seconds=0.5, drain_seconds=0.0)
        with pytest.raises(StepFailedError) as caught:
            await run_switch(context, Direction.FORWARD, options)
        assert isinstance(caught.value.__cause__, NotDrainedError)
        assert caught.value.__cause__.in_flight == {"chat.talk": 2}
        assert await pair.desk.held() == ()
        assert (await read_ownership(context)).owner is Side.SHARED

        options = SwitchOptions(direct=True, hold_seconds=20.0)
        switch = asyncio.create_task(run_switch(context, Direction.FORWARD, options))
        await router.wait_for(lambda s: s.flags["chat.talk"].hold is not None, timeout_seconds=20.0)
        assert (await read_ownership(context)).owner is Side.SHARED
        del under_way["chat.talk/monolith"]  # the last answer is out
        outcome, _ = await switch
        assert outcome.data["hold"]["attempts"] == 1
        assert (await read_ownership(context)).owner is Side.OWN
