"""Programs that do one thing and end: migrations, loading of data; their output goes to a log file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from migrate.stack.errors import ProcessFailedError
from migrate.stack.layout import REPOSITORY
from migrate.stack.logs import tail


async def run_job(
    name: str,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    log_file: Path,
    *,
    timeout_seconds: float,
) -> None:
    """Run to the end; raises ProcessFailedError with the end of the log on failure or at the deadline."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=REPOSITORY,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
        )
    finally:
        os.close(descriptor)
    try:
        code = await asyncio.wait_for(process.wait(), timeout_seconds)
        why = f"failed with exit code {code}"
    except TimeoutError:
        code, why = -1, f"did not end within {timeout_seconds:.0f} s"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code != 0:
        raise ProcessFailedError(f"{name} {why}", process=name, log_tail=tail(log_file))
