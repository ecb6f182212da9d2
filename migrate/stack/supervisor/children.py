"""The running children of one supervisor: spawn, wait, signal, stop; decides nothing about which should run."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from migrate.stack.env_file import read_env_file
from migrate.stack.process import ProcessSpec, ProcessState
from migrate.stack.process_tree import identify, signal_tree

# Variables of the surrounding shell that a server may see; everything else comes from its env file.
PLAIN_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ")
# A killed process is gone from the table within milliseconds; longer means an unkillable disk wait.
KILL_SECONDS = 5.0


class Child:
    """One process and the task that waits for its end."""

    def __init__(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        self.spec = spec
        self.process = process
        self.started_at = time.time()
        self.ended_at: float | None = None
        self.is_wanted = True
        identity = identify(process.pid)
        self.start_ticks = identity.start_ticks if identity else 0
        self.ended = asyncio.Event()

    @property
    def state(self) -> ProcessState:
        code = self.process.returncode if self.ended_at is not None else None
        running = self.ended_at is None
        return ProcessState(
            name=self.spec.name,
            status="running" if running else "crashed" if self.is_wanted else "stopped",
            pid=self.process.pid,
            start_ticks=self.start_ticks,
            started_at=self.started_at,
            ended_at=self.ended_at,
            exit_code=code,
            log_file=self.spec.log_file,
        )

    async def watch(self, changed: Callable[[], None]) -> None:
        await self.process.wait()
        self.ended_at = time.time()
        self.ended.set()
        changed()

    def signal(self, number: signal.Signals) -> None:
        if self.ended_at is None:
            signal_tree(self.process.pid, number)

    async def stop(self) -> None:
        """Ask, wait, then kill the whole tree below; returns when the process is gone."""
        self.is_wanted = False
        if self.ended_at is not None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGCONT)
            os.kill(self.process.pid, signal.Signals[self.spec.stop_signal])
        try:
            await asyncio.wait_for(self.ended.wait(), self.spec.stop_seconds)
        except TimeoutError:
            signal_tree(self.process.pid, signal.SIGKILL)
            await asyncio.wait_for(self.ended.wait(), KILL_SECONDS)


def environment(spec: ProcessSpec) -> dict[str, str]:
    """The environment of a process: its file over ours, or over the few plain variables."""
    base = (
        dict(os.environ)
        if spec.inherits
        else {name: os.environ[name] for name in PLAIN_VARIABLES if name in os.environ}
    )
    return {**base, **read_env_file(Path(spec.env_file))}


async def spawn(spec: ProcessSpec) -> Child:
    """Start a process in a session of its own, its output appended to its log file."""
    with _open_log(Path(spec.log_file)) as log:
        account = pwd.getpwnam(spec.account) if spec.account else None
        process = await asyncio.create_subprocess_exec(
            *spec.argv,
            cwd=spec.cwd,
            env=environment(spec),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
    return Child(spec, process)


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")
