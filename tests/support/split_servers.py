"""Two private PostgreSQL servers for the tests of the split, one pair for each worker of a run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from migrate.split.names import Side
from migrate.stack.servers.private import PrivateServers
from tests.support.split_lab import Pair, pair_of

#: Apply workers start again at once: tests switch more often than people do.
SETTINGS = ("wal_retrieve_retry_interval = '100ms'", "autovacuum_naptime = '5s'")


@dataclass(frozen=True)
class SplitServers:
    """Superuser addresses, and the servers themselves for faults."""

    directories: dict[Side, Path]
    urls: dict[Side, str]

    def server(self, side: Side) -> PrivateServers:
        """An object of the caller's own for one server: its methods belong to the caller's loop."""
        return PrivateServers(self.directories[side], ("postgres",), owner_pid=os.getpid())

    @asynccontextmanager
    async def pair(self, *, one_cluster: bool = False, **options: object) -> AsyncIterator[Pair]:
        """Fresh databases on two servers, or both on the first."""
        own = self.urls[Side.SHARED if one_cluster else Side.OWN]
        async with pair_of(self.urls[Side.SHARED], own, **options) as pair:  # type: ignore[arg-type]
            yield pair


def start_servers(directory: Path, *, quick: bool = True) -> Iterator[SplitServers]:
    """Both servers while the generator is open; they end with this process in any case.

    `quick`: settings that tests want and measurements do not.
    """
    directories = {side: directory / str(side) for side in Side}

    async def start() -> dict[Side, str]:
        urls = {}
        for side, folder in directories.items():
            servers = PrivateServers(folder, ("postgres",), owner_pid=os.getpid())
            urls[side] = (await servers.start_all()).postgres or ""
            connection = await asyncpg.connect(urls[side])
            for setting in SETTINGS if quick else ():
                await connection.execute(f"ALTER SYSTEM SET {setting}")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()
        return urls

    async def stop() -> None:
        for folder in directories.values():
            servers = PrivateServers(folder, ("postgres",))
            await servers.close()
            servers.wipe()

    with ThreadPoolExecutor(1) as thread:  # this thread may have an event loop
        urls = thread.submit(asyncio.run, start()).result()
        try:
            yield SplitServers(directories, urls)
        finally:
            thread.submit(asyncio.run, stop()).result()


@pytest.fixture(scope="session")
def split_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SplitServers]:
    """Two servers with wal_level = logical, durable, so that crashes mean something."""
    yield from start_servers(tmp_path_factory.mktemp("split"))
