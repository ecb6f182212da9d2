"""Deadlines of all connections, checked together a few times a second; knows nothing of what they mean.

A timer per request costs more than the request's routing. One pass over 10,000 connections costs about
a millisecond.
"""

from __future__ import annotations

import asyncio
from typing import Final

from router.seams import Timed

#: Pause between two passes, in seconds: how late a deadline may be noticed.
TICK_SECONDS: Final = 0.2
NEVER: Final = float("inf")


class Sweeper:
    """Watches the `deadline` attribute of everything that was added."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def add(self, item: Timed) -> None:
        self._watched.add(item)

    def remove(self, item: Timed) -> None:
        self._watched.discard(item)

    def __len__(self) -> int:
        return len(self._watched)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        now = self._loop.time()
        for item in [item for item in self._watched if item.deadline <= now]:
            item.deadline_passed(now)
