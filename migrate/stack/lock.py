"""One at a time between processes: a lock on a file, released by the kernel however its holder ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from migrate.stack.errors import StackError

POLL_SECONDS = 0.02


@asynccontextmanager
async def exclusive(path: Path, wait_seconds: float) -> AsyncIterator[None]:
    """Hold the lock named by `path`; StackError when another process keeps it for too long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while not _try_lock(descriptor):
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(
                    f"another command has held {path} for more than {wait_seconds:.0f} s",
                    hint=f"see which one: fuser -v {path}",
                )
            await asyncio.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
