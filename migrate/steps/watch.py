"""What an operation tells while it runs; knows neither terminals nor steps' insides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Boundary(StrEnum):
    """Moments of a step, in order; an operation can end at any of them and be run again."""

    STARTED = "started"  # nothing done yet
    APPLIED = "applied"  # the effect is there, the journal may not say so yet
    JOURNALED = "journaled"
    SKIPPED = "skipped"  # the check found the effect there already
    FAILED = "failed"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step reached a boundary."""

    step: str
    title: str
    boundary: Boundary
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one piece of work of a step has come. Totals are None while unknown."""

    step: str
    item: str
    done_rows: int = 0
    total_rows: int | None = None
    done_bytes: int = 0
    total_bytes: int | None = None
    seconds: float = 0.0
    lag_bytes: int | None = None
    note: str = ""

    @property
    def rows_per_second(self) -> float:
        """Rows a second since the start of this piece."""
        return self.done_rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def fraction(self) -> float | None:
        """Share that is done, 0 to 1; by bytes where those are known, else by rows."""
        for part, whole in ((self.done_bytes, self.total_bytes), (self.done_rows, self.total_rows)):
            if whole:
                return min(1.0, part / whole)
        return None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left at the average speed so far."""
        share = self.fraction
        if not share or self.seconds <= 0:
            return None
        return self.seconds * (1.0 - share) / share

    def as_json(self) -> dict[str, Any]:
        """The line of `--json`."""
        return {
            "type": "progress",
            "step": self.step,
            "item": self.item,
            "rows": self.done_rows,
            "total_rows": self.total_rows,
            "bytes": self.done_bytes,
            "total_bytes": self.total_bytes,
            "rows_per_second": round(self.rows_per_second, 1),
            "eta_seconds": None if self.eta_seconds is None else round(self.eta_seconds, 1),
            "lag_bytes": self.lag_bytes,
            "note": self.note,
        }


#: Called in the event loop between the statements of an operation: it must be quick and not raise.
Observer = Callable[[StepEvent | Progress], None]


def ignore(_event: StepEvent | Progress) -> None:
    """An observer that does nothing."""
