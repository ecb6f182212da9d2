"""What the commands of the local stack have in common: the stack of this run, its processes as rows."""

from __future__ import annotations

import os
import time
from typing import Any

from migrate.context import Context
from migrate.stack.local import LocalStack
from migrate.stack.process import ProcessState
from migrate.stack.supervisor.client import SupervisorClient

PROCESS_COLUMNS = ("process", "status", "pid", "exit", "for", "log")


def stack_of(context: Context, *, quiet: bool = False) -> LocalStack:
    """The local stack of a context; its steps are printed unless `quiet`.

    With STACK_OWNER_PID in the environment the stack ends when that process does: for tests.
    """
    from migrate.report import console

    owner = os.environ.get("STACK_OWNER_PID")
    return LocalStack(
        context.stack_directory,
        context.manifest,
        context.manifest_path,
        owner_pid=int(owner) if owner else None,
        report=(lambda line: None) if quiet else lambda line: console.print(f"  {line}"),
    )


async def stack_processes(context: Context) -> tuple[ProcessState, ...]:
    """Processes of the local stack; also those of a supervisor that was killed. Empty without a stack."""
    supervisor = SupervisorClient(context.stack_directory.resolve())
    if supervisor.is_alive():
        return await supervisor.processes()
    record = supervisor.read_record()
    return record.processes if record else ()


def process_row(state: ProcessState) -> tuple[Any, ...]:
    """One row of the table of processes; a crash is named with its exit code or signal."""
    since = state.started_at if state.is_running else state.ended_at or state.started_at
    return (
        state.name,
        state.status,
        state.pid if state.is_running else None,
        describe_exit(state.exit_code),
        duration(time.time() - since),
        state.log_file if state.status == "crashed" else None,
    )


def describe_exit(code: int | None) -> str | None:
    """`1`, or the signal that ended a process: Python's negative exit codes."""
    import signal

    if code is None or code >= 0:
        return None if code is None else str(code)
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def duration(seconds: float) -> str:
    """`12 s`, `5 min`, `3 h`, `2 d`."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86_400)} d"
