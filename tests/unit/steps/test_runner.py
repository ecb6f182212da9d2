"""The runner of plans: journal, resume, undo, and what is never undone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from migrate.steps import (
    Boundary,
    Check,
    Plan,
    PlanError,
    Progress,
    Runner,
    Step,
    StepEvent,
    StepFailedError,
    done,
    needed,
)
from shared.errors import OperatorError


@dataclass
class Row:
    step: str
    status: str
    data: Mapping[str, Any]


@dataclass
class MemoryJournal:
    """What `shared.control.journal.Journal` keeps in a table."""

    records: list[Row] = field(default_factory=list)
    status: str = "running"

    async def record(
        self, operation: UUID, step: str, status: str, data: Mapping[str, Any] | None = None
    ) -> None:
        self.records.append(Row(step, status, data or {}))

    async def rows(self, operation: UUID) -> list[Row]:
        return self.records

    async def finish(self, operation: UUID, status: str) -> None:
        self.status = status

    def of(self, step: str) -> list[str]:
        return [row.status for row in self.records if row.step == step]


@dataclass
class World:
    """The system that steps change: a set of words."""

    there: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)


class Put(Step[World]):
    """Puts a word into the world, or fails."""

    def __init__(self, name: str, *, fails: Exception | None = None, seconds: float = 0.0) -> None:
        self.name = name
        self.title = f"put {name}"
        self.fails = fails
        self.seconds = seconds
        self.deadline_seconds = 0.2

    async def check(self, context: World) -> Check:
        return done() if self.name in context.there else needed()

    async def apply(self, context: World) -> Mapping[str, Any]:
        context.log.append(f"apply {self.name}")
        await asyncio.sleep(self.seconds)
        if self.fails is not None:
            raise self.fails
        context.there.add(self.name)
        return {"word": self.name}

    async def undo(self, context: World) -> None:
        context.log.append(f"undo {self.name}")
        context.there.discard(self.name)


class Urgent(Put):
    is_urgent = True


def runner(
    plan: Plan[World], journal: MemoryJournal, events: list[Any] | None = None
) -> Runner[World]:
    observe = events.append if events is not None else (lambda _event: None)
    return Runner(plan, journal, uuid4(), again="migrate again", observer=observe)


async def test_steps_run_in_order_and_each_is_journaled() -> None:
    world, journal = World(), MemoryJournal()
    outcome = await runner(Plan("test", (Put("a"), Put("b"))), journal).run(world)
    assert outcome.applied == ("a", "b")
    assert outcome.data["b"] == {"word": "b"}
    assert [(row.step, row.status) for row in journal.records] == [
        ("a", "started"), ("a", "done"), ("b", "started"), ("b", "done"),
    ]  # fmt: skip
    assert journal.status == "done"


async def test_a_step_whose_effect_is_there_is_not_applied_again() -> None:
    world, journal = World(there={"a"}), MemoryJournal()
    outcome = await runner(Plan("test", (Put("a"), Put("b"))), journal).run(world)
    assert (outcome.applied, outcome.skipped) == (("b",), ("a",))
    assert world.log == ["apply b"]


async def test_a_failure_takes_every_step_of_the_run_back_in_reverse_order() -> None:
    world, journal = World(), MemoryJournal()
    plan = Plan("test", (Put("a"), Put("b"), Put("c", fails=ValueError("no"))))
    with pytest.raises(StepFailedError) as caught:
        await runner(plan, journal).run(world)
    assert (caught.value.step, caught.value.undone, caught.value.decided) == ("c", True, False)
    assert world.there == set()
    assert world.log[-3:] == ["undo c", "undo b", "undo a"]
    assert journal.status == "undone"


async def test_a_failure_leaves_alone_what_was_there_before_the_run() -> None:
    world, journal = World(there={"a"}), MemoryJournal()
    plan = Plan("test", (Put("a"), Put("b"), Put("c", fails=ValueError("no"))))
    with pytest.raises(StepFailedError):
        await runner(plan, journal).run(world)
    assert world.there == {"a"}


async def test_a_resumed_run_takes_back_the_steps_of_the_run_that_was_cut_off() -> None:
    journal = MemoryJournal([Row("a", "started", {}), Row("a", "done", {})])
    world = World(there={"a"})
    plan = Plan("test", (Put("a"), Put("b", fails=ValueError("no"))))
    with pytest.raises(StepFailedError):
        await runner(plan, journal).run(world)
    assert world.there == set()


async def test_a_plan_that_keeps_leaves_finished_steps_for_the_next_run() -> None:
    world, journal = World(), MemoryJournal()
    failing = Plan("test", (Put("a"), Put("b", fails=ValueError("no"))), on_failure="keep")
    with pytest.raises(StepFailedError) as caught:
        await runner(failing, journal).run(world)
    assert not caught.value.undone
    assert journal.status == "running"
    outcome = await runner(Plan("test", (Put("a"), Put("b")), "keep"), journal).run(world)
    assert (outcome.skipped, outcome.applied) == (("a",), ("b",))


async def test_nothing_is_undone_after_the_deciding_step() -> None:
    world, journal = World(), MemoryJournal()
    plan = Plan("test", (Put("a"), Put("b"), Put("c", fails=ValueError("no"))), decides="b")
    with pytest.raises(StepFailedError) as caught:
        await runner(plan, journal).run(world)
    assert caught.value.decided
    assert world.there == {"a", "b"}
    assert journal.status == "running"


async def test_the_outcome_of_a_deciding_step_that_failed_is_read_from_the_system() -> None:
    class Lost(Put):
        async def apply(self, context: World) -> Mapping[str, Any]:
            context.there.add(self.name)
            raise ConnectionResetError("after the commit")

    world = World()
    with pytest.raises(StepFailedError) as caught:
        await runner(Plan("test", (Put("a"), Lost("b")), decides="b"), MemoryJournal()).run(world)
    assert caught.value.decided
    assert world.there == {"a", "b"}


async def test_urgent_steps_are_journaled_after_the_next_step_that_is_not_urgent() -> None:
    order: list[str] = []

    class Noting(MemoryJournal):
        async def record(self, operation: UUID, step: str, status: str, data: Any = None) -> None:
            order.append(f"{step} {status}")
            await super().record(operation, step, status, data)

    class Telling(Urgent):
        async def apply(self, context: World) -> Mapping[str, Any]:
            order.append(f"apply {self.name}")
            return await super().apply(context)

    plan = Plan("test", (Telling("a"), Telling("b"), Put("c")))
    await runner(plan, Noting()).run(World())
    assert order == [
        "apply a", "apply b",
        "a started", "a done", "b started", "b done", "c started", "c done",
    ]  # fmt: skip


async def test_a_step_that_takes_too_long_is_taken_back() -> None:
    world = World()
    with pytest.raises(StepFailedError) as caught:
        await runner(Plan("test", (Put("a", seconds=5.0),)), MemoryJournal()).run(world)
    assert "deadline" in caught.value.reason


async def test_an_interrupted_run_takes_its_steps_back_before_it_ends() -> None:
    world, journal = World(), MemoryJournal()
    slow = Put("b", seconds=5.0)
    slow.deadline_seconds = 10.0
    task = asyncio.create_task(runner(Plan("test", (Put("a"), slow)), journal).run(world))
    while "apply b" not in world.log:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.there == set()
    assert journal.status == "undone"


async def test_undo_takes_back_only_what_is_there() -> None:
    world = World(there={"a", "c"})
    undone = await runner(Plan("test", (Put("a"), Put("b"), Put("c"))), MemoryJournal()).undo(world)
    assert undone == ("c", "a")


async def test_every_boundary_is_told_in_order() -> None:
    events: list[StepEvent | Progress] = []
    await runner(Plan("test", (Put("a"),)), MemoryJournal(), events).run(World())
    assert [event.boundary for event in events if isinstance(event, StepEvent)] == [
        Boundary.STARTED, Boundary.APPLIED, Boundary.JOURNALED,
    ]  # fmt: skip


async def test_an_error_brings_its_own_exit_code() -> None:
    class RefusalError(OperatorError):
        exit_code = 3

    with pytest.raises(StepFailedError) as caught:
        await runner(Plan("test", (Put("a", fails=RefusalError("no")),)), MemoryJournal()).run(
            World()
        )
    assert caught.value.exit_code == 3


def test_a_plan_with_two_steps_of_one_name_is_refused() -> None:
    with pytest.raises(PlanError):
        Plan("test", (Put("a"), Put("a")))
    with pytest.raises(PlanError):
        Plan("test", (Put("a"),), decides="z")


def test_progress_knows_rate_share_and_time_left() -> None:
    progress = Progress("copy", "t", done_rows=50, total_rows=200, seconds=10.0)
    assert (progress.rows_per_second, progress.fraction, progress.eta_seconds) == (5.0, 0.25, 30.0)
    assert Progress("copy", "t").eta_seconds is None
