"""Servers for a benchmark: those that the environment names, or private ones for its duration."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrate.stack.programs import ServerKind
from migrate.stack.servers.private import PrivateServers


@contextmanager
def benchmark_servers(*kinds: ServerKind) -> Iterator[dict[ServerKind, str]]:
    """Addresses by kind; started under asyncio's own loop, as uvloop cannot change accounts."""
    given = {kind: os.environ.get(f"TEST_{kind.upper()}_URL", "") for kind in kinds}
    if all(given.values()):
        yield given
        return
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        asyncio.Runner() as runner,
    ):
        Path(directory).chmod(0o755)  # servers may run under an account of their own
        servers = PrivateServers(Path(directory), kinds, owner_pid=os.getpid())
        runner.run(servers.start_all())
        try:
            yield {kind: servers.url(kind) for kind in kinds}
        finally:
            runner.run(servers.close())
            servers.wipe()
