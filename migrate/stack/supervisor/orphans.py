"""Processes whose parent died below the supervisor: none of them may outlive what they belonged to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress

from migrate.stack.process_tree import direct_children, read_stat

# PostgreSQL's children leave by themselves once the postmaster is gone; they poll for that.
LEAVE_SECONDS = 3.0
POLL_SECONDS = 0.05


def find_orphans(leaders: AbstractSet[int]) -> list[int]:
    """Adopted children of ours: neither started by us nor in the session of a process that still runs."""
    found = []
    for pid in direct_children():
        stat = read_stat(pid)
        if pid not in leaders and stat is not None and stat.session not in leaders:
            found.append(pid)
    return found


def bury_dead(leaders: AbstractSet[int]) -> None:
    """Reap adopted children that are dead: daemons detach through parents that end at once."""
    for pid in direct_children():
        stat = read_stat(pid)
        if pid not in leaders and stat is not None and stat.state == "Z":
            _reap(pid)


async def clear_orphans(leaders: Callable[[], set[int]], starting: asyncio.Lock) -> None:
    """Let orphans leave, kill those that stay, and reap all of them. Bounded by twice the leave time.

    `starting` is held while a child is being started, because a newborn looks like an orphan until it is
    entered among the `leaders`.
    """
    loop = asyncio.get_running_loop()
    for number in (None, signal.SIGKILL):
        deadline = loop.time() + LEAVE_SECONDS
        while loop.time() < deadline:
            async with starting:
                orphans = find_orphans(leaders())
                for pid in orphans:
                    if number is not None:
                        with suppress(ProcessLookupError):
                            os.kill(pid, number)
                    _reap(pid)
            if not orphans:
                return
            await asyncio.sleep(POLL_SECONDS)


def _reap(pid: int) -> None:
    """Take a dead child off the process table; one that still lives stays."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
