"""When an app is left alone for a while because it fails; pure, told the time, made for one app per side.

Envoy's numbers (outlier detection), without its rules that need five hosts to compare. Its 85 percent could
never be reached before five failures in a row, so half is enough here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EjectionRules:
    """Envoy's defaults. Seconds, counts, percent."""

    consecutive_failures: int = 5
    interval_seconds: float = 10.0
    base_seconds: float = 30.0
    max_seconds: float = 300.0
    failure_percent: float = 50.0
    min_requests: int = 50
    slow_start_seconds: float = 10.0


class Outlier:
    """Successes and failures of one app, and whether it is ejected just now."""

    __slots__ = (
        "_consecutive", "_ejected_until", "_failures", "_is_good_interval", "_successes", "_window_started",
        "ejections", "rules", "total_ejections",
    )  # fmt: skip

    def __init__(self, rules: EjectionRules | None = None) -> None:
        self.rules = rules or EjectionRules()
        self.ejections = 0  # grows with every ejection, shrinks with every good interval
        self.total_ejections = 0
        self._ejected_until = 0.0
        self._consecutive = 0
        self._failures = 0
        self._successes = 0
        self._is_good_interval = False
        self._window_started = 0.0

    def success(self, now: float) -> None:
        """An answer below 500, or a deliberate 503."""
        self._consecutive = 0
        self._successes += 1
        if now - self._window_started >= self.rules.interval_seconds:
            self._turn(now)

    def failure(self, now: float) -> bool:
        """A failure of the app; whether it has just been ejected for it."""
        if now - self._window_started >= self.rules.interval_seconds:
            self._turn(now)
        self._consecutive += 1
        self._failures += 1
        self._is_good_interval = False
        if self.is_ejected(now):
            return False
        total = self._failures + self._successes
        is_mostly_failing = (
            total >= self.rules.min_requests
            and self._failures * 100.0 >= self.rules.failure_percent * total
        )
        if self._consecutive < self.rules.consecutive_failures and not is_mostly_failing:
            return False
        self.ejections += 1
        self.total_ejections += 1
        seconds = min(self.rules.base_seconds * self.ejections, self.rules.max_seconds)
        self._ejected_until = now + seconds
        self._consecutive = self._failures = self._successes = 0
        return True

    def is_ejected(self, now: float) -> bool:
        """Whether requests that have another place to go should go there."""
        return now < self._ejected_until

    def share(self, now: float) -> float:
        """Share of its requests that the app should get, 0 to 1: it starts slowly after an ejection."""
        if self._ejected_until == 0.0:
            return 1.0
        passed = now - self._ejected_until
        if passed < 0.0:
            return 0.0
        if passed >= self.rules.slow_start_seconds:
            return 1.0
        return max(passed / self.rules.slow_start_seconds, 0.1)

    def _turn(self, now: float) -> None:
        """A new interval: a good one is forgiven one ejection (Envoy does the same)."""
        if self._is_good_interval and self.ejections and not self.is_ejected(now):
            self.ejections -= 1
        self._is_good_interval = True
        self._window_started = now
        self._failures = 0
        self._successes = 0
