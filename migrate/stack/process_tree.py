"""Processes of this machine as /proc shows them: who descends from whom, who is still the same; Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: orphans below us become our children


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid alone is reused; with its start time (clock ticks since boot) it names one process for ever."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """The fields of proc(5), /proc/pid/stat, that tell a process's place. `state` is its one letter."""

    state: str
    parent: int
    session: int
    start_ticks: int


def read_stat(pid: int) -> ProcessStat | None:
    """Where a process stands, None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return ProcessStat(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a live process, None when it is gone or a zombie."""
    stat = read_stat(pid)
    if stat is None or stat.state == "Z":
        return None
    return ProcessIdentity(pid, stat.start_ticks)


def is_alive(identity: ProcessIdentity) -> bool:
    return identify(identity.pid) == identity


def children_by_parent() -> dict[int, list[int]]:
    """Parent pid -> pids of its children, for the whole machine."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := read_stat(int(entry.name))) is not None:
            children.setdefault(stat.parent, []).append(int(entry.name))
    return children


def direct_children() -> list[int]:
    """Pids of our own children, adopted ones among them (proc(5), /proc/pid/task/tid/children)."""
    files = list(Path("/proc/self/task").glob("*/children"))
    if not files:  # a kernel without CONFIG_PROC_CHILDREN
        return children_by_parent().get(os.getpid(), [])
    found: list[int] = []
    for file in files:
        with contextlib.suppress(OSError):
            found.extend(int(word) for word in file.read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """Pids below `pid`, parents first."""
    children = children_by_parent()
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.extend(below)
        waiting.extend(below)
    return found


def signal_tree(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and everything below it; those that are gone do not matter."""
    for target in [pid, *descendants(pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, number)


def adopt_orphans() -> None:
    """Become the parent of every orphan below us, so that nothing we started can escape."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
