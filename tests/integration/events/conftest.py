"""Fixtures of the event tests: the same suite runs in memory and on RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.events.harness import MemoryBus, RabbitBus, World


@pytest.fixture(params=["memory", "rabbitmq"])
async def world(request: pytest.FixtureRequest, database: str) -> AsyncIterator[World]:
    """A world on each broker in turn."""
    in_memory = request.param == "memory"
    bus = MemoryBus() if in_memory else RabbitBus(request.getfixturevalue("rabbitmq_url"))
    found = await World.open(database, bus)
    yield found
    await found.close()


@pytest.fixture
async def rabbit_world(rabbitmq_url: str, database: str) -> AsyncIterator[World]:
    """A world on RabbitMQ only, for what memory has no word for."""
    found = await World.open(database, RabbitBus(rabbitmq_url))
    yield found
    await found.close()
