"""The router's loop is uvloop, in the tests too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from shared.control.migrations import migrate
from shared.control.store import ControlStore, RouteFact
from tests.integration.router.harness import App, Rig, Script, serve_ok, start_rig
from tests.integration.router.router_process import RouterProcess


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def rig() -> AsyncIterator[Callable[..., Any]]:
    """Starts a data plane in front of two scripted apps; checks at the end that nothing leaked."""
    async with AsyncExitStack() as stack:

        async def start(monolith: Script | None = None, **options: Any) -> Rig:
            return await stack.enter_async_context(start_rig(monolith, **options))

        yield start


@pytest.fixture
async def store(database: str) -> AsyncIterator[ControlStore]:
    await migrate(database)
    store = await ControlStore.connect(database)
    await store.register(
        [RouteFact("content.search", "content", False)], ["content"], [1], actor="t"
    )
    yield store
    await store.close()


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Callable[..., RouterProcess]]:
    made: list[RouterProcess] = []

    def make(database: str, apps: tuple[App, App], workers: int = 1) -> RouterProcess:
        made.append(RouterProcess(tmp_path, database, apps, workers))
        return made[-1]

    yield make
    for router in made:
        await router.kill()


@pytest.fixture
async def apps() -> AsyncIterator[tuple[App, App]]:
    found = App("monolith", serve_ok), App("content", serve_ok)
    for app in found:
        await app.start()
    yield found
    for app in found:
        await app.stop()
