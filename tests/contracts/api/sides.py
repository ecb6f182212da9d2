"""The sides of the suite: the old API alone, the services with the old API for the rest, a router.

A side is one ASGI app for quick requests and the same app on a real socket for what needs one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from monolith.__main__ import FRAME_BYTES_MAX, Server
from monolith.app import build_app, context_of
from shared.routing.from_manifest import route_table
from tests.contracts.api.conformance import conform
from tests.contracts.api.effects import Workers, open_workers
from tests.contracts.api.world import (
    MANIFEST,
    World,
    build_service,
    monolith_settings,
    present_services,
)

WAIT_SECONDS = 20.0
HOOKS = {"response": [conform]}
SERVICE_FRAME_BYTES = 64 * 1024  # as shared/web/serve.py: the endpoint itself refuses above 16 KiB


class ByRoute:
    """Sends each request to the app that the manifest names for its path, else to the old API."""

    def __init__(self, monolith: ASGIApp, services: Mapping[str, ASGIApp]) -> None:
        self._monolith = monolith
        self._services = services
        self._table = route_table(MANIFEST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method", "GET")
        found = self._table.match(method, scope["path"])
        app = self._monolith
        if found is not None:
            app = self._services.get(found.route.service, self._monolith)
        await app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Running:
    """Apps that run: `client` asks them in this process, `http` over a socket at `url`."""

    client: httpx.AsyncClient
    http: httpx.AsyncClient
    url: str
    port: int
    stop: Callable[[], None]


class Side:
    """One way to answer the public API."""

    def __init__(self, name: str, world: World, services: Sequence[str] = ()) -> None:
        self.name = name
        self.world = world
        self.services = tuple(services)

    def running(self, **changes: Any) -> AbstractAsyncContextManager[Running]:
        """Apps of their own, with changes to the world they run in."""
        return _running(self.world.with_changes(**changes), self.services)

    def workers(self, owner_api_url: str) -> AbstractAsyncContextManager[Workers]:
        return open_workers(self.world, self.services, owner_api_url)


def side_named(name: str, world: World) -> Side:
    """`monolith`, or `services` and `router`, where every service that exists has its part."""
    return Side(name, world, () if name == "monolith" else present_services())


async def once(
    client: httpx.AsyncClient, path: str, status: int, method: str = "GET"
) -> httpx.Response:
    """The first answer with this status: what an app learns in the background takes a moment."""
    async with asyncio.timeout(WAIT_SECONDS):
        while (answer := await client.request(method, path)).status_code != status:
            await asyncio.sleep(0.05)
    return answer


@asynccontextmanager
async def _running(world: World, services: Sequence[str]) -> AsyncIterator[Running]:
    listener = listen()
    port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    owner_api_url = url if services else None
    monolith = build_app(monolith_settings(world, owner_api_url))
    apps = {name: build_service(name, world, url) for name in services}
    both = ByRoute(monolith, apps)
    async with AsyncExitStack() as stack:
        for app in (monolith, *apps.values()):
            await stack.enter_async_context(app.router.lifespan_context(app))
        for app in apps.values():
            await until_ready(app, world)
        server = await stack.enter_async_context(
            serve(both, monolith, listener, is_service="community" in apps)
        )
        transport = httpx.ASGITransport(both)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://test", event_hooks=HOOKS)
        )
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=WAIT_SECONDS)
        )

        def stop() -> None:
            for app in apps.values():
                app.state.health.begin_drain()
            server.should_exit = True

        yield Running(client, http, url, port, stop)


def listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@asynccontextmanager
async def serve(
    app: ASGIApp, monolith: FastAPI, listener: socket.socket, *, is_service: bool
) -> AsyncIterator[Server]:
    """An app whose lifespan runs already, behind a socket; frames are bounded as its process does."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        server_header=False,
        access_log=False,
        proxy_headers=False,
        ws="websockets-sansio" if is_service else "auto",
        ws_max_size=SERVICE_FRAME_BYTES if is_service else FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config, context_of(monolith))
    task = asyncio.create_task(server.serve([listener]))
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not server.started:
                await asyncio.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        await task


async def until_ready(app: FastAPI, world: World) -> None:
    """A service answers once it has read what it keeps in memory; not waited for without servers."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for _ in range(200):
            if (await client.get("/readyz")).status_code == 200 or world.is_cut_off:
                return
            await asyncio.sleep(0.02)
    raise TimeoutError(f"{app.title} is not ready")
