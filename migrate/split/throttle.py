"""Slows a copy down: to a rate the operator gives, and further while the source is busy."""

from __future__ import annotations

import asyncio
import time

#: Factors of additive-increase/multiplicative-decrease; halving and small steps back are what
#: keeps a shared resource stable.
BACK_OFF = 0.5
STEP_BYTES = 8 * 1024 * 1024
FLOOR_BYTES = 1024 * 1024
#: Where a brake begins when no rate was given: faster than one COPY gets.
START_BYTES = 256 * 1024 * 1024


class Throttle:
    """A token bucket of bytes a second; None means as fast as it goes until `report_busy`."""

    def __init__(self, bytes_per_second: float | None = None, busy_ms: float | None = None) -> None:
        """`busy_ms`: commits on the source slower than this halve the rate."""
        self._ceiling = bytes_per_second
        self._rate = bytes_per_second
        self._busy_ms = busy_ms
        self._free_at = time.monotonic()

    @property
    def bytes_per_second(self) -> float | None:
        """The rate in force; None is unlimited."""
        return self._rate

    def observe_commit(self, milliseconds: float) -> None:
        """One commit of the source took this long."""
        if self._busy_ms is None:
            return
        if milliseconds > self._busy_ms:
            self._rate = max(FLOOR_BYTES, (self._rate or START_BYTES) * BACK_OFF)
        elif self._rate is not None:
            raised = self._rate + STEP_BYTES
            self._rate = raised if self._ceiling is None else min(raised, self._ceiling)
            if self._ceiling is None and raised > START_BYTES:
                self._rate = None

    def delay(self, size: int, now: float) -> float:
        """Seconds to wait before `size` more bytes may go."""
        if self._rate is None:
            return 0.0
        self._free_at = max(self._free_at, now) + size / self._rate
        return max(0.0, self._free_at - now - size / self._rate)

    async def spend(self, size: int) -> None:
        """Wait until `size` bytes may go."""
        if (seconds := self.delay(size, time.monotonic())) > 0.0:
            await asyncio.sleep(seconds)
