"""Fixtures of the fault tests: servers of their own, that may be stopped and killed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from migrate.stack.servers.private import PrivateServers
from tests.faults.events.installation import Installation, open_installation
from tests.support.platform_database import drop_templates, platform_database


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServers]:
    """PostgreSQL and RabbitMQ of this module alone; they end with the test process at the latest."""
    with asyncio.Runner() as runner:
        private = PrivateServers(
            tmp_path_factory.mktemp("servers"),
            ("postgres", "rabbitmq"),
            durable=False,
            owner_pid=os.getpid(),
        )
        runner.run(private.start_all())
        yield private
        runner.run(drop_templates(private.url("postgres")))
        runner.run(private.close())
        private.wipe()


@pytest.fixture
async def installation(servers: PrivateServers, tmp_path: Path) -> AsyncIterator[Installation]:
    for kind in servers.kinds:
        await servers.start(kind)  # a test before may have left it stopped
    async with platform_database(servers.url("postgres")) as dsn:
        found = await open_installation(servers, dsn, servers.url("rabbitmq"), tmp_path)
        yield found
        await found.close()
