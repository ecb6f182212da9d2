"""A service's app on a free port of this process, for vendors that call it and for real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.types import ASGIApp as ASGIApplication

START_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@asynccontextmanager
async def served(app: ASGIApplication) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app, whose `base_url` is the address that others reach it by."""
    config = uvicorn.Config(app, port=0, log_config=None, server_header=False, access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(START_SECONDS):
        while not server.started:
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=START_SECONDS
        ) as client:
            yield client
    finally:
        server.should_exit = True
        await task
