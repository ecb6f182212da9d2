"""WebSockets of a service under uvicorn: greeting, close codes, maintenance (contract, 1.14)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import pytest
import uvicorn
import websockets
from fastapi import FastAPI, WebSocket

from shared.auth.tokens import TokenIssuer
from shared.settings import AppSettings
from shared.web.app import create_service_app
from shared.web.endpoints import ServiceRouter
from shared.web.maintenance import Mode
from shared.web.serve import server_config
from shared.web.sockets import close, greet
from tests.integration.web.conftest import Person

ROOM = f"/api/story/rooms/{UUID(int=5)}/ws"


@dataclass
class Served:
    app: FastAPI
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{ROOM}"


def _echo_router() -> ServiceRouter:
    router = ServiceRouter()

    @router.socket("community.room_ws")
    async def room(websocket: WebSocket, room_id: UUID) -> None:
        user = await greet(websocket)
        if user is None:
            return
        await websocket.send_json({"user": str(user.id), "room": str(room_id)})
        async for text in websocket.iter_text():
            await websocket.send_text(text)
        await close(websocket, 1000)

    return router


@pytest.fixture
async def served(make_settings: Callable[..., AppSettings]) -> AsyncIterator[Served]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        settings = make_settings(port=listener.getsockname()[1])
        app = create_service_app("rooms", settings=settings, routers=[_echo_router()])
        server = uvicorn.Server(server_config(app, settings))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield Served(app, settings.port)
        server.should_exit = True
        await running


async def _close_code(url: str, **options: object) -> int:
    async with asyncio.timeout(10), websockets.connect(url, **options) as connection:  # type: ignore[arg-type]
        with pytest.raises(websockets.ConnectionClosed):
            await connection.recv()
        return connection.close_code or 0


async def test_the_token_comes_in_the_header_or_as_a_subprotocol(
    served: Served, person: Person, tokens: TokenIssuer
) -> None:
    user_id = await person()
    token = tokens.access_token(user_id, email=None)
    ways = (
        {"additional_headers": {"Authorization": f"Bearer {token}"}},
        {"subprotocols": ["scenextras.v1", f"bearer.{token}"]},
    )
    for way in ways:
        async with websockets.connect(served.url, **way) as connection:  # type: ignore[arg-type]
            assert str(user_id) in str(await connection.recv())
            await connection.send("hello")
            assert await connection.recv() == "hello"
            assert connection.subprotocol == ("scenextras.v1" if "subprotocols" in way else None)


async def test_a_bad_token_is_accepted_and_closed_with_4401(
    served: Served, person: Person, tokens: TokenIssuer
) -> None:
    deleted = tokens.access_token(await person(deleted=True), email=None)
    stranger = tokens.access_token(uuid4(), email=None)
    for token in ("nonsense", deleted, stranger, tokens.service_token()):
        headers = {"Authorization": f"Bearer {token}"}
        assert await _close_code(served.url, additional_headers=headers) == 4401
    assert await _close_code(served.url) == 4401
    assert await _close_code(served.url + "?token=" + stranger) == 4401


async def test_maintenance_closes_with_1013(served: Served) -> None:
    served.app.state.platform.maintenance.replace({"community": Mode("community", "read_only")})
    assert await _close_code(served.url) == 1013


async def test_an_unknown_socket_is_refused_before_it_opens(served: Served) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        await websockets.connect(f"ws://127.0.0.1:{served.port}/api/nothing")
    assert caught.value.response.status_code == 403


async def test_plain_http_on_a_socket_address_is_400(served: Served) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{served.port}{ROOM}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "MALFORMED_REQUEST")
