"""A circuit breaker per event type: after a storm of failures it lets one run through at a time; pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a breaker opens and for how long."""

    window: int = 20  # newest runs that are looked at
    min_runs: int = 10
    failure_ratio: float = 0.5
    first_pause_seconds: float = 10.0
    longest_pause_seconds: float = 300.0


@dataclass(slots=True)
class Breaker:
    """closed → open (nothing runs for a pause) → one trial run → closed, or open for twice as long."""

    settings: BreakerSettings
    _runs: deque[bool] = field(init=False)
    _open_until: float | None = None
    _pause: float = 0.0
    _trial: bool = False

    def __post_init__(self) -> None:
        self._runs = deque(maxlen=self.settings.window)

    @property
    def is_open(self) -> bool:
        """Whether only trial runs are let through."""
        return self._open_until is not None

    def wait_seconds(self, now: float) -> float:
        """0 when a run may start (and the trial is taken), else how long to stay away."""
        if self._open_until is None:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        if self._trial:
            return self._pause
        self._trial = True
        return 0.0

    def succeeded(self) -> None:
        """A run went well; ends an open breaker."""
        if self._open_until is not None:
            self._runs.clear()
        self._open_until, self._pause, self._trial = None, 0.0, False
        self._runs.append(True)

    def failed(self, now: float) -> None:
        """A run failed; may open the breaker, or keep it open for longer."""
        self._runs.append(False)
        if self._open_until is not None:
            self._trial = False
            self._pause = min(self._pause * 2, self.settings.longest_pause_seconds)
            self._open_until = now + self._pause
            return
        failures = self._runs.count(False)
        if (
            len(self._runs) >= self.settings.min_runs
            and failures / len(self._runs) > self.settings.failure_ratio
        ):
            self._pause = self.settings.first_pause_seconds
            self._open_until = now + self._pause

    def abandoned(self) -> None:
        """A trial ended without a verdict (shutdown, lost database); another one may start."""
        self._trial = False
