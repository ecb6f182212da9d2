"""Fixtures of the event tests: the same suite runs in memory and on RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.events.harness import TABLES, MemoryBus, RabbitBus, World
from tests.support.platform_database import one_for_all


@pytest.fixture(scope="module")
def events_dsn(postgres_url: str) -> Iterator[str]:
    """One database for a module; a world empties its tables."""
    with one_for_all(postgres_url, schema=TABLES) as dsn:
        yield dsn


@pytest.fixture(params=["memory", "rabbitmq"])
async def world(request: pytest.FixtureRequest, events_dsn: str) -> AsyncIterator[World]:
    """A world on each broker in turn."""
    in_memory = request.param == "memory"
    bus = MemoryBus() if in_memory else RabbitBus(request.getfixturevalue("rabbitmq_url"))
    found = await World.open(events_dsn, bus)
    yield found
    await found.close()


@pytest.fixture
async def rabbit_world(rabbitmq_url: str, events_dsn: str) -> AsyncIterator[World]:
    """A world on RabbitMQ only, for what memory has no word for."""
    found = await World.open(events_dsn, RabbitBus(rabbitmq_url))
    yield found
    await found.close()
