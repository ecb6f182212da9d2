"""A real router in front of the old API and of every service, each request sent to either by chance.

Every flag stands at one half with a salt of its own: one person's requests go to both apps.
`CONTRACT_PERCENT` sets another share, 0 and 100 included.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
from fastapi import FastAPI

from monolith.app import build_app
from shared.control.model import FlagChange
from shared.control.store import ControlStore
from tests.contracts.api.sides import HOOKS, WAIT_SECONDS, Running, listen, serve, until_ready
from tests.contracts.api.world import (
    MANIFEST,
    ORIGIN,
    World,
    build_service,
    monolith_settings,
    present_services,
)
from tests.support.people import SECRET

START_SECONDS = 60.0
PERCENT = float(os.environ.get("CONTRACT_PERCENT", "50"))


@asynccontextmanager
async def run_behind_router(world: World) -> AsyncIterator[Running]:
    """Apps on sockets of their own and `python -m router` before them."""
    services = present_services()
    port, admin_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    monolith = build_app(monolith_settings(world, url))
    apps = {name: build_service(name, world, url) for name in services}
    async with AsyncExitStack() as stack:
        addresses: dict[str, str] = {}
        everything: Mapping[str, FastAPI] = {"monolith": monolith, **apps}
        for name, app in everything.items():
            await stack.enter_async_context(app.router.lifespan_context(app))
            listener = listen()
            addresses[name] = f"http://127.0.0.1:{listener.getsockname()[1]}"
            await stack.enter_async_context(serve(app, monolith, listener, is_service=name in apps))
        for app in apps.values():
            await until_ready(app, world)
        await _set_flags(world, services, PERCENT)
        stack.push_async_callback(_set_flags, world, services, 0.0)
        await stack.enter_async_context(_router(world, port, admin_port, addresses))
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=url, timeout=WAIT_SECONDS, trust_env=False, event_hooks=HOOKS
            )
        )
        yield Running(http, http, url, port, lambda: None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def _set_flags(world: World, services: Sequence[str], percent: float) -> None:
    store = await ControlStore.connect(world.database_url)
    try:
        routes = [row.name for row in MANIFEST.routes if row.service in services]
        changes = dict.fromkeys(routes, FlagChange(percent=percent))
        await store.set_flags(changes, actor="tests", reason="tests")
    finally:
        await store.close()


@asynccontextmanager
async def _router(
    world: World, port: int, admin_port: int, addresses: Mapping[str, str]
) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "router",
        env={
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "ADMIN_PORT": str(admin_port),
            "ADMIN_TOKEN": "admin-token",
            "SHARED_DATABASE_URL": world.database_url,
            "REDIS_URL": world.redis_url,
            "JWT_SECRETS": SECRET,
            "ALLOWED_ORIGINS": ORIGIN,
            "WORKERS": "1",
            "LOG_LEVEL": "error",
            **{f"{name.upper()}_URL": address for name, address in addresses.items()},
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await _until_routing(process, f"http://127.0.0.1:{admin_port}/readyz")
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(WAIT_SECONDS):
            await process.wait()


async def _until_routing(process: asyncio.subprocess.Process, url: str) -> None:
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(trust_env=False) as client:
        while process.returncode is None:
            with suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise RuntimeError(f"the router has ended with {process.returncode}")
