"""Replies that are being made: they outlive their client, but not the process's 50 s of grace."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

DRAIN_SECONDS = 50.0
CLOSE_SECONDS = 5.0


class RunningReplies:
    """Tasks of this process; each finishes its own storing when it is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def open(self) -> None:
        """Nothing to open."""

    async def drain(self) -> None:
        """At SIGTERM: replies may run 50 s more, then they end as UNAVAILABLE."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(DRAIN_SECONDS, self.end_all)

    @property
    def count(self) -> int:
        return len(self._tasks)

    def end_all(self) -> None:
        """Each stores what was said so far and tells its client UNAVAILABLE."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.end_all()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=CLOSE_SECONDS)
