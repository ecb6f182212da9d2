"""Runs a plan: checks, applies and journals each step, goes on after a crash, undoes after a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol
from uuid import UUID

from migrate.steps.plan import Plan
from migrate.steps.step import Check, ContextT, Step
from migrate.steps.watch import Boundary, Observer, StepEvent, ignore
from shared.errors import OperatorError

#: Longest time to read whether a step's effect is there, in seconds; checks are small queries.
CHECK_SECONDS = 15.0
#: Longest time to take one step back, in seconds.
UNDO_SECONDS = 60.0


class Row(Protocol):
    """One line of the journal."""

    @property
    def step(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


class Journal(Protocol):
    """Where steps are recorded: `shared.control.journal.Journal`, or a test's own."""

    async def record(
        self, operation: UUID, step: str, status: str, data: Mapping[str, Any] | None = None
    ) -> None: ...

    async def rows(self, operation: UUID) -> Sequence[Row]: ...

    async def finish(self, operation: UUID, status: str) -> None: ...


class StepFailedError(OperatorError):
    """A step failed; `undone` says whether everything of this run was taken back."""

    def __init__(
        self,
        kind: str,
        step: str,
        reason: str,
        *,
        undone: bool,
        decided: bool,
        advice: str,
        exit_code: int = 1,
    ) -> None:
        super().__init__(f"{kind} stopped at step {step}: {reason}\n{advice}")
        self.exit_code = exit_code
        self.kind = kind
        self.step = step
        self.reason = reason
        self.undone = undone
        self.decided = decided


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: steps applied now, steps found done, and what each wrote to the journal."""

    applied: tuple[str, ...]
    skipped: tuple[str, ...]
    data: Mapping[str, Mapping[str, Any]]
    seconds: float
    step_seconds: Mapping[str, float] = field(default_factory=dict)  # of the steps applied now


@dataclass(slots=True)
class _Progress:
    applied: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    attempted: list[str] = field(default_factory=list)
    data: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    unwritten: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Runner(Generic[ContextT]):
    """Runs one plan for one operation of the journal."""

    def __init__(
        self,
        plan: Plan[ContextT],
        journal: Journal,
        operation: UUID,
        *,
        again: str,
        observer: Observer = ignore,
    ) -> None:
        """`again` is the command that an operator types to go on."""
        self._plan = plan
        self._journal = journal
        self._operation = operation
        self._again = again
        self._observe = observer

    async def run(self, context: ContextT) -> Outcome:
        """Run or go on; raises StepFailedError after undoing or keeping, as the plan says.

        When the operation is finished, its status in the journal is `done`; when it was taken
        back, `undone`; when it can be continued, it stays `running`.
        """
        started = time.monotonic()
        state = _Progress()
        await self._remember(state)
        for step in self._plan.steps:
            try:
                await self._one(step, context, state)
            except (Exception, asyncio.CancelledError) as error:
                await self._fail(step, context, state, error)
                raise AssertionError("unreachable: a failed step raises") from error
        await self._write(state)
        await self._journal.finish(self._operation, "done")
        return Outcome(
            tuple(state.applied),
            tuple(state.skipped),
            state.data,
            time.monotonic() - started,
            state.seconds,
        )

    async def undo(self, context: ContextT) -> tuple[str, ...]:
        """Take back, last first, every step whose effect is there; returns their names."""
        undone: list[str] = []
        for step in reversed(self._plan.steps):
            found = await self._check(step, context)
            if not found.is_done:
                continue
            await self._undo_one(step, context)
            undone.append(step.name)
        await self._journal.finish(self._operation, "undone")
        return tuple(undone)

    async def _remember(self, state: _Progress) -> None:
        for row in await self._journal.rows(self._operation):
            if row.status in ("started", "done") and row.step not in state.attempted:
                state.attempted.append(row.step)
            if row.status == "done":
                state.data[row.step] = row.data

    async def _one(self, step: Step[ContextT], context: ContextT, state: _Progress) -> None:
        found = await self._check(step, context)
        if found.is_done:
            state.skipped.append(step.name)
            self._tell(step, Boundary.SKIPPED, found.detail)
            return
        started = time.monotonic()
        await self._note(step, "started", {}, state)
        if step.name not in state.attempted:
            state.attempted.append(step.name)
        self._tell(step, Boundary.STARTED)
        async with asyncio.timeout(step.deadline_seconds):
            data = await step.apply(context) or {}
        seconds = time.monotonic() - started
        state.applied.append(step.name)
        state.seconds[step.name] = seconds
        state.data[step.name] = data
        self._tell(step, Boundary.APPLIED, seconds=seconds)
        await self._note(step, "done", data, state)
        self._tell(step, Boundary.JOURNALED, seconds=seconds)

    async def _check(self, step: Step[ContextT], context: ContextT) -> Check:
        async with asyncio.timeout(CHECK_SECONDS):
            return await step.check(context)

    async def _note(
        self, step: Step[ContextT], status: str, data: Mapping[str, Any], state: _Progress
    ) -> None:
        state.unwritten.append((step.name, status, data))
        in_passing = bool(state.unwritten[:-1]) and status == "started"
        if not (step.is_urgent or in_passing):
            await self._write(state)

    async def _write(self, state: _Progress) -> None:
        rows, state.unwritten = state.unwritten, []
        for name, status, data in rows:
            await self._journal.record(self._operation, name, status, data)

    async def _fail(
        self,
        step: Step[ContextT],
        context: ContextT,
        state: _Progress,
        error: BaseException,
    ) -> None:
        """Undo or keep; always raises."""
        self._tell(step, Boundary.FAILED, describe_error(error))
        decided = await self._is_decided(step, context, state)
        undo = self._plan.on_failure == "undo" and not decided
        try:
            if undo:
                await asyncio.shield(self._undo_attempted(context, state))
            await self._write(state)
            await self._journal.record(
                self._operation, step.name, "failed", {"error": describe_error(error)}
            )
            if undo:
                await self._journal.finish(self._operation, "undone")
        except Exception as second:
            raise StepFailedError(
                self._plan.kind,
                step.name,
                f"{describe_error(error)}, and then {describe_error(second)}",
                undone=False,
                decided=decided,
                advice=f"run `{self._again}` again: it finishes or takes back what is there",
            ) from second
        if isinstance(error, asyncio.CancelledError):
            raise error
        raise StepFailedError(
            self._plan.kind,
            step.name,
            describe_error(error),
            undone=undo,
            decided=decided,
            advice=self._advice(undo, decided, anything=bool(state.applied)),
            exit_code=int(getattr(error, "exit_code", 1)),
        ) from error

    def _advice(self, undone: bool, decided: bool, *, anything: bool) -> str:
        if not (anything or decided):
            return f"nothing was changed; run `{self._again}` again when that is solved"
        if undone:
            return f"everything was taken back, nothing has changed; run `{self._again}` again"
        if decided:
            return f"the switch itself is done and stands; run `{self._again}` again to finish it"
        return f"finished steps are kept; run `{self._again}` again to go on"

    async def _is_decided(self, step: Step[ContextT], context: ContextT, state: _Progress) -> bool:
        """Read it from the systems when the deciding step itself failed: its outcome is unknown."""
        finished = {*state.applied, *state.skipped}
        if self._plan.is_decided_by(finished):
            return True
        if self._plan.decides != step.name:
            return False
        try:
            return (await self._check(step, context)).is_done
        except Exception:  # unknown counts as decided: nothing may be undone then
            return True

    async def _undo_attempted(self, context: ContextT, state: _Progress) -> None:
        for step in reversed(self._plan.steps):
            if step.name in state.attempted:
                await self._undo_one(step, context)
                state.unwritten.append((step.name, "undone", {}))

    async def _undo_one(self, step: Step[ContextT], context: ContextT) -> None:
        async with asyncio.timeout(UNDO_SECONDS):
            await step.undo(context)
        self._tell(step, Boundary.UNDONE)

    def _tell(
        self, step: Step[ContextT], boundary: Boundary, detail: str = "", seconds: float = 0.0
    ) -> None:
        self._observe(StepEvent(step.name, step.title, boundary, detail, seconds))


def describe_error(error: BaseException) -> str:
    """One line: an operator's error in its own words, anything else with its type."""
    if isinstance(error, OperatorError):
        return error.message
    if isinstance(error, TimeoutError):
        return "the deadline of the step passed"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
