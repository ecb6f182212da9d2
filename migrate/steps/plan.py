"""An operation as a table of steps; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal

from migrate.steps.step import ContextT, Step
from shared.errors import OperatorError


class PlanError(OperatorError):
    """A plan that cannot be run as it stands."""


@dataclass(frozen=True, slots=True)
class Plan(Generic[ContextT]):
    """The steps of one kind of operation, in order.

    Up to and without `decides`, a failure is answered by `on_failure`: `undo` takes every step of
    this run back, `keep` leaves the finished ones for the next run. Once the step `decides` is
    done, nothing is undone any more: running the command again goes on.
    """

    kind: str
    steps: tuple[Step[ContextT], ...]
    on_failure: Literal["undo", "keep"] = "undo"
    decides: str | None = None

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise PlanError(f"plan {self.kind} has two steps of one name: {', '.join(names)}")
        if self.decides is not None and self.decides not in names:
            raise PlanError(f"plan {self.kind} has no step {self.decides}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(step.name for step in self.steps)

    def is_decided_by(self, finished: set[str]) -> bool:
        """Whether the finished steps include the point of no return."""
        return self.decides is not None and self.decides in finished

    def step(self, name: str) -> Step[Any]:
        """The step of that name; raises PlanError."""
        for step in self.steps:
            if step.name == name:
                return step
        raise PlanError(f"plan {self.kind} has no step {name}")
