"""Waits until a process of ours is ready, and says what its log says when it is not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from migrate.stack.environment import HOST
from migrate.stack.errors import ProcessFailedError
from migrate.stack.logs import tail
from migrate.stack.probe import get
from migrate.stack.supervisor.client import SupervisorClient

# Imports, catalogue index and pools on a busy two-core machine; a fault shows at once by its exit code.
READY_SECONDS = 90.0
POLL_SECONDS = 0.05


async def wait_until_ready(
    supervisor: SupervisorClient, name: str, port: int, log_file: Path
) -> None:
    """Return when `/readyz` answers 200; raises ProcessFailedError when the process ends or is too late."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        answer = await get(HOST, port, "/readyz")
        if answer.status == 200:
            return
        states = {state.name: state for state in await supervisor.processes()}
        if not states[name].is_running:
            raise failure(name, f"ended with exit code {states[name].exit_code}", log_file)
        if time.monotonic() > deadline:
            said = answer.body.decode(errors="replace")[:500] or "no answer"
            raise failure(name, f"was not ready within {READY_SECONDS:.0f} s: {said}", log_file)
        await asyncio.sleep(POLL_SECONDS)


def failure(name: str, what: str, log_file: Path) -> ProcessFailedError:
    """The error of a process, with the end of its log and what to type."""
    return ProcessFailedError(
        f"{name} {what}",
        process=name,
        log_tail=tail(log_file),
        hint=f"read more: migrate logs {name}   try again: migrate up",
    )
