"""The router's loop is uvloop, in the tests too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop

from tests.integration.router.harness import Rig, Script, start_rig


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def rig() -> AsyncIterator[Callable[..., Any]]:
    """Starts a data plane in front of two scripted apps; checks at the end that nothing leaked."""
    async with AsyncExitStack() as stack:

        async def start(monolith: Script | None = None, **options: Any) -> Rig:
            return await stack.enter_async_context(start_rig(monolith, **options))

        yield start
