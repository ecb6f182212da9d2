"""Rooms while Redis is killed and comes back: local at once, together again by themselves."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection

from services.community.app import build
from tests.integration.community.conftest import MANIFEST, MakeWebSettings
from tests.integration.community.sockets import frame, on_a_port, say, sit
from tests.support.people import People, Person
from tests.support.platform_database import platform_database
from tests.support.served_app import free_port

START_SECONDS = 20.0


class Redis:
    """A server of the test's own, on one port for all its lives."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError(self.url)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait(timeout=START_SECONDS)
            self._child = None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@dataclass(frozen=True)
class Room:
    """One room, open on two processes of the service."""

    id: str
    owner: Person
    ports: tuple[int, int]


@pytest.fixture
async def room(
    postgres_url: str, redis: Redis, web_settings: MakeWebSettings
) -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(platform_database(postgres_url))
        settings = web_settings(dsn, redis_url=SecretStr(redis.url))
        first, second = [
            await stack.enter_async_context(on_a_port(build(settings, MANIFEST), settings))
            for _ in range(2)
        ]
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{first}")
        )
        sql = await asyncpg.connect(dsn)
        stack.push_async_callback(sql.close)
        owner = await People(client, sql).new()
        made = (await owner.post("/api/story/rooms", json={"name": "R"})).json()
        yield Room(made["id"], owner, (first, second))


async def together_again(one: ClientConnection, two: ClientConnection) -> None:
    """Say something at one until the other hears it."""
    async with asyncio.timeout(START_SECONDS):
        for number in range(1000):
            await say(one, f"again {number}")
            try:
                async with asyncio.timeout(0.3):
                    await frame(two, "message")
            except TimeoutError:
                continue
            return


async def test_a_room_is_local_without_redis_and_whole_when_it_is_back(
    room: Room, redis: Redis
) -> None:
    async with (
        await sit(room.ports[0], room.id, room.owner) as one,
        await sit(room.ports[1], room.id, room.owner) as two,
    ):
        for client in (one, two):
            await frame(client, "ready")
        await say(one, "before")
        for client in (one, two):
            assert (await frame(client, "message"))["message"]["content"] == "before"
        redis.kill()
        await say(one, "alone")
        assert (await frame(one, "message"))["message"]["content"] == "alone"
        redis.start()
        await together_again(one, two)
    async with await sit(room.ports[1], room.id, room.owner) as late:
        said = [message["content"] for message in (await frame(late, "ready"))["recent"]]
        assert said[:2] == ["before", "alone"]
