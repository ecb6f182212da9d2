"""Long operations as tables of steps: each can be checked, applied, undone, and is journaled."""

from migrate.steps.plan import Plan, PlanError
from migrate.steps.runner import Outcome, Runner, StepFailedError
from migrate.steps.step import Check, Step, done, needed
from migrate.steps.watch import Boundary, Observer, Progress, StepEvent, ignore

__all__ = [
    "Boundary",
    "Check",
    "Observer",
    "Outcome",
    "Plan",
    "PlanError",
    "Progress",
    "Runner",
    "Step",
    "StepEvent",
    "StepFailedError",
    "done",
    "ignore",
    "needed",
]
