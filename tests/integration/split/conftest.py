"""Servers of the tests of the split, and one pair that follows for many tests of a file."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from migrate.split.context import SplitContext
from migrate.split.names import Direction, Side
from migrate.split.operations import run_split, run_switch
from tests.support.split_lab import PATIENT, Pair
from tests.support.split_servers import SplitServers, split_servers

__all__ = ["split_servers"]

WORKER = "SELECT pid FROM pg_stat_subscription WHERE subname = $1 AND pid IS NOT NULL"


class Followed:
    """A pair whose own side follows; every test leaves it so."""

    def __init__(self, pair: Pair, context: SplitContext) -> None:
        self.pair = pair
        self.context = context

    @asynccontextmanager
    async def frozen_worker(self) -> AsyncIterator[None]:
        """The apply worker of the own side does nothing while the block runs."""
        name = self.context.names.subscription(Direction.FORWARD)
        pid = await self.pair.fetchval(Side.OWN, WORKER, name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def there_and_back(self) -> None:
        await run_switch(self.context, Direction.FORWARD)
        await run_switch(self.context, Direction.REVERSE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def followed_pair(split_servers: SplitServers) -> AsyncIterator[Followed]:
    async with split_servers.pair() as pair, pair.context() as context:
        await run_split(context)
        yield Followed(pair, context)


@pytest.fixture
def followed(followed_pair: Followed) -> Iterator[Followed]:
    """The pair, with the limits put back that a test has changed."""
    yield followed_pair
    followed_pair.context.limits = PATIENT
