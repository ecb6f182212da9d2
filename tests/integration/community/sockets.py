"""A room's sockets as clients hold them, and the service's app under the server that runs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from shared.settings import AppSettings
from shared.web.serve import server_config
from tests.support.people import Person

WAIT_SECONDS = 10


@asynccontextmanager
async def on_a_port(app: FastAPI, settings: AppSettings) -> AsyncIterator[int]:
    """The port of the app, served as its process serves it; the port of the settings is 0."""
    server = uvicorn.Server(server_config(app, settings))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(WAIT_SECONDS):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        app.state.health.begin_drain()
        server.should_exit = True
        await task


async def sit(port: int, room_id: str, person: Person) -> ClientConnection:
    """A socket of a person; `ready` is still to be read."""
    url = f"ws://127.0.0.1:{port}/api/story/rooms/{room_id}/ws"
    # Without a bound: a client that stops reading does not see the answer to its close.
    return await connect(url, additional_headers=person.headers, max_queue=None)


async def frame(client: ClientConnection, kind: str) -> dict[str, Any]:
    """The next frame of a kind."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            found: dict[str, Any] = json.loads(await client.recv())
            if found["type"] == kind:
                return found


async def say(client: ClientConnection, content: str, **more: Any) -> None:
    await client.send(json.dumps({"type": "message", "content": content, **more}))


async def close_code(client: ClientConnection) -> int:
    async with asyncio.timeout(WAIT_SECONDS):
        try:
            while True:
                await client.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
