"""Keeps calls away from a deployment that fails, and lets one through now and then; pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from services.chat.providers.vendors.calls import Failure

FAILURES = 5  # within the window open a breaker
WINDOW_SECONDS = 30.0
OPEN_SECONDS = 30.0
REFUSED_SECONDS = 300.0  # a wrong key or name stays wrong until somebody acts
LONGEST_SECONDS = 300.0
#: What says something about the deployment; the rest is our own or the request's.
COUNTED = frozenset({Failure.TIMEOUT, Failure.OVERLOADED, Failure.EMPTY})


@dataclass(slots=True)
class Breaker:
    """closed → open (nothing runs for a while) → one trial → closed, or open for twice as long."""

    _failed_at: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES))
    _open_until: float | None = None
    _pause: float = OPEN_SECONDS
    _is_trying: bool = False

    def allows(self, now: float) -> bool:
        """Whether a call may start; a trial is taken with the answer."""
        if self._open_until is None:
            return True
        if now < self._open_until or self._is_trying:
            return False
        self._is_trying = True
        return True

    def succeeded(self) -> None:
        """A call brought text."""
        self._failed_at.clear()
        self._open_until, self._pause, self._is_trying = None, OPEN_SECONDS, False

    def failed(self, now: float, failure: Failure, retry_after_seconds: float | None) -> None:
        """A call failed; may open the breaker."""
        was_trial, self._is_trying = self._is_trying, False
        if failure is Failure.REFUSED:
            self._open_until = now + REFUSED_SECONDS
            return
        if failure not in COUNTED:
            return
        self._failed_at.append(now)
        if was_trial:
            self._pause = min(self._pause * 2, LONGEST_SECONDS)
            self._open_until = now + self._pause
        elif retry_after_seconds:
            self._open_until = now + min(retry_after_seconds, LONGEST_SECONDS)
        elif len(self._failed_at) == FAILURES and now - self._failed_at[0] <= WINDOW_SECONDS:
            self._open_until = now + self._pause

    def abandoned(self) -> None:
        """A call ended without a verdict: the client's deadline, or the end of the process."""
        self._is_trying = False
