"""The app under its own server on a free port, for what needs a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn

from monolith.__main__ import FRAME_BYTES_MAX, Server
from monolith.app import build_app, context_of
from monolith.settings import Settings


def port_of(server: Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    app = build_app(settings)
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        server_header=False,
        access_log=False,
        ws_max_size=FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config, context_of(app))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    base = f"http://127.0.0.1:{port_of(server)}"
    async with httpx.AsyncClient(base_url=base, timeout=20) as client:
        yield server, client
    server.should_exit = True
    await task
