"""What an operation would do, with live positions and a predicted pause, before anybody says yes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrate.split.context import SplitContext
from migrate.split.gate import Prediction, reasons_against, rehearse_pause
from migrate.split.names import Direction, Side
from migrate.split.slots import find_slot
from migrate.split.switch import SwitchContext, SwitchOptions
from migrate.split.switch_plan import switch_plan
from migrate.steps import Plan


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step and whether its effect is there already."""

    name: str
    title: str
    is_done: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The ordered steps, where both sides stand, what speaks against starting, and the pause."""

    kind: str
    steps: tuple[PlannedStep, ...]
    positions: dict[str, Any]
    reasons: tuple[str, ...] = ()
    prediction: Prediction | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "plan": self.kind,
            "steps": [
                {
                    "name": step.name,
                    "title": step.title,
                    "done": step.is_done,
                    "detail": step.detail,
                }
                for step in self.steps
            ],
            "positions": self.positions,
            "reasons_against": list(self.reasons),
            "predicted_ms": self.prediction.usual_ms if self.prediction else None,
            "predicted_unlucky_ms": self.prediction.unlucky_ms if self.prediction else None,
        }


async def preview_plan(context: SplitContext, plan: Plan[Any], given: Any = None) -> Preview:
    """Steps with what their checks say now; `given` is the plan's own context, if it has one."""
    steps = []
    for step in plan.steps:
        try:
            found = await step.check(context if given is None else given)
            steps.append(PlannedStep(step.name, step.title, found.is_done, found.detail))
        except Exception:  # what an earlier step would bring is not there yet
            steps.append(PlannedStep(step.name, step.title, False, ""))
    return Preview(plan.kind, tuple(steps), await positions(context))


async def preview_switch(
    context: SplitContext, direction: Direction, options: SwitchOptions
) -> Preview:
    """A switch with the reasons against it and, when there are none, the predicted pause.

    The prediction rehearses lock and fence in transactions that are rolled back: writers wait some
    milliseconds, three times.
    """
    switch = await SwitchContext.begin(context, direction, options)
    try:
        preview = await preview_plan(context, switch_plan(direction), switch)
        is_committed = await switch.is_fenced()
        reasons = [] if is_committed else await reasons_against(switch)
        prediction = None if is_committed or reasons else await rehearse_pause(switch)
    finally:
        await switch.close()
    return Preview(preview.kind, preview.steps, preview.positions, tuple(reasons), prediction)


async def positions(context: SplitContext) -> dict[str, Any]:
    """Where the WAL of both sides and the slots stand."""
    found: dict[str, Any] = {}
    for side in Side:
        connection = await context.control(side)
        found[f"{side}_wal"] = await connection.fetchval("SELECT pg_current_wal_lsn()::text")
    for direction in Direction:
        connection = await context.source(direction)
        slot = await find_slot(connection, context.names.slot(direction))
        found[f"{direction}_slot"] = (
            None
            if slot is None
            else {
                "name": slot.name,
                "active": slot.is_active,
                "behind_bytes": slot.behind_bytes,
                "retained_bytes": slot.retained_bytes,
                "wal_status": slot.wal_status,
            }
        )
    return found
