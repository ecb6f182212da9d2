"""Starts, completes and takes back phases: step by step, asking before what interrupts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from migrate.dokku.phases.commands import CommandRefusedError, act
from migrate.dokku.phases.criteria import Verdict, judge
from migrate.dokku.phases.steps import kind_of
from migrate.dokku.phases.world import World
from migrate.dokku.transport import CommandFailedError
from shared.errors import OperatorError, StranglerError
from shared.manifest_phases import Phase, Step, Stop
from shared.states import PhaseStatus


class PhaseError(OperatorError):
    """A phase cannot be started or completed now; nothing was changed."""

    exit_code = 3


class StepStoppedError(OperatorError):
    """A step of a phase failed; what was done before it stands."""

    def __init__(self, phase: Phase, number: int, text: str, cause: StranglerError) -> None:
        super().__init__(
            f"phase {phase.number} stopped at step {number} ({text}): {cause.message}\n"
            f"  go on with:   migrate phase start {phase.number}\n"
            f"  or back with: migrate phase start {phase.number} --rollback"
        )
        self.phase = phase.number
        self.step = number
        self.cause = cause
        self.exit_code = getattr(cause, "exit_code", 1)


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of a step."""

    number: int
    text: str
    outcome: str  # done | already | would
    seconds: float


def find_phase(phases: Sequence[Phase], wanted: str) -> Phase:
    """A phase by number or name; raises PhaseError."""
    for phase in phases:
        if wanted in (str(phase.number), phase.name):
            return phase
    names = ", ".join(f"{phase.number} {phase.name}" for phase in phases)
    raise PhaseError(f"there is no phase {wanted}; phases are {names or 'none'}")


async def statuses(world: World) -> dict[int, PhaseStatus]:
    """Status by number; empty while there is no control store yet."""
    try:
        rows = (await world.status())["phases"]
    except (CommandRefusedError, CommandFailedError):
        return {}
    return {int(row["number"]): PhaseStatus(row["status"]) for row in rows}


async def start(world: World, phase: Phase) -> tuple[StepReport, ...]:
    """Run every step that is not done yet; raises StepStoppedError at the first failure."""
    known = await statuses(world)
    for number in phase.after:
        if known.get(number) is not PhaseStatus.COMPLETED:
            raise PhaseError(
                f"phase {phase.number} comes after phase {number}, which is"
                f" {known.get(number, PhaseStatus.PENDING)}; run `migrate phase complete {number}`"
            )
    refuse_unproven_end(world.session.manifest.monolith.app, phase)
    await mark(world, phase, PhaseStatus.STARTED, known)
    reports = await run_steps(world, phase, phase.steps)
    await mark(world, phase, PhaseStatus.STARTED, await statuses(world))
    return reports


def refuse_unproven_end(monolith: str, phase: Phase) -> None:
    """The monolith is stopped only after a proof that nothing needs it and a dump of its data; pure."""
    before: set[str] = set()
    for step in phase.steps:
        if isinstance(step, Stop) and monolith in step.apps:
            missing = [word for word in ("prove_strangled", "backup") if word not in before]
            if missing:
                raise PhaseError(
                    f"phase {phase.number} stops {monolith} without the step {' and '.join(missing)} before"
                    " it; add that to the manifest"
                )
        before.add(step.do)


async def roll_back(world: World, phase: Phase) -> tuple[StepReport, ...]:
    """Run the phase's way back."""
    if not phase.rollback:
        raise PhaseError(f"phase {phase.number} has no rollback in the manifest")
    known = await statuses(world)
    if known.get(phase.number) is PhaseStatus.COMPLETED:
        await mark(world, phase, PhaseStatus.STARTED, known)
    reports = await run_steps(world, phase, phase.rollback)
    await mark(world, phase, PhaseStatus.PENDING, await statuses(world))
    return reports


async def run_steps(world: World, phase: Phase, steps: Sequence[Step]) -> tuple[StepReport, ...]:
    """Steps in order. A step that finds its effect there already is passed over."""
    world.phase = f"phase-{phase.number}-{phase.name}"
    reports: list[StepReport] = []
    for number, step in enumerate(steps, start=1):
        kind = kind_of(step)
        text = kind.describe(step)
        began = time.monotonic()
        try:
            if await kind.is_done(world, step):
                world.say(f"  {number}. {text}: already so")
                reports.append(StepReport(number, text, "already", time.monotonic() - began))
                continue
            world.say(f"  {number}. {text}")
            question = kind.interrupts(step)
            if question and not await world.confirm(question):
                raise PhaseError("declined")
            await kind.run(world, step)
        except StranglerError as error:
            raise StepStoppedError(phase, number, text, error) from error
        reports.append(StepReport(number, text, "done", time.monotonic() - began))
    return tuple(reports)


async def outlook(world: World, phase: Phase, steps: Sequence[Step]) -> tuple[StepReport, ...]:
    """What would be done now, without doing it."""
    rows: list[StepReport] = []
    for number, step in enumerate(steps, start=1):
        kind = kind_of(step)
        done = await kind.is_done(world, step)
        rows.append(StepReport(number, kind.describe(step), "already" if done else "would", 0.0))
    return tuple(rows)


async def verdicts(world: World, phase: Phase) -> tuple[Verdict, ...]:
    """Every success criterion of a phase."""
    return tuple([await judge(world, criterion) for criterion in phase.criteria])


async def complete(world: World, phase: Phase) -> tuple[Verdict, ...]:
    """Check the criteria, and record the phase as completed when all hold."""
    known = await statuses(world)
    if known.get(phase.number) is PhaseStatus.PENDING:
        raise PhaseError(
            f"phase {phase.number} was not started; run `migrate phase start {phase.number}`"
        )
    found = await verdicts(world, phase)
    if all(verdict.holds for verdict in found):
        await mark(world, phase, PhaseStatus.COMPLETED, known)
    return found


async def mark(
    world: World, phase: Phase, status: PhaseStatus, known: dict[int, PhaseStatus]
) -> None:
    """Record the status, as soon as there is a control store that knows the phase."""
    if phase.number not in known or known[phase.number] is status:
        return
    words = ["phase", "mark", str(phase.number), status.value]
    await act(world.commands, words, lambda _line: None)
