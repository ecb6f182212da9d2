"""The chat service and the monolith over one database, both under real servers; started once for all tests."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from monolith.app import build_app
from monolith.settings import Settings
from services.chat.app import build
from services.chat.settings import ChatSettings
from shared.manifest import load_manifest
from shared.ratelimit.buckets import parse_rate_limits
from tests.support.people import SECRET, People, Person
from tests.support.platform_database import one_for_all

MANIFEST = load_manifest(Path("migration.toml"))
MakeSettings = Callable[..., ChatSettings]


@pytest.fixture(scope="session")
def chat_dsn(postgres_url: str) -> Iterator[str]:
    """A shared database with the whole schema and the control store."""
    with one_for_all(postgres_url) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def make_settings(redis_url: str, rabbitmq_url: str, media_dir: Path) -> MakeSettings:
    def make(dsn: str, **changes: Any) -> ChatSettings:
        values: dict[str, Any] = {
            "shared_database_url": SecretStr(dsn),
            "redis_url": SecretStr(redis_url),
            "rabbitmq_url": SecretStr(rabbitmq_url),
            "jwt_secrets": (SecretStr(SECRET),),
            "rate_limits": parse_rate_limits("off"),
            "media_dir": media_dir,
        }
        return ChatSettings(**(values | changes))

    return make


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The base URL of an app under its own server on a free port."""
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(60):
            while not server.started:
                assert not task.done()
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Sides(httpx.AsyncBaseTransport):
    """Chat requests go to one side or to both in turn; what belongs to others to the monolith."""

    urls: dict[str, str]
    pick: Callable[[], str]

    def __post_init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_chat = request.url.path.startswith("/api/chat/")
        target = httpx.URL(self.urls[self.pick() if is_chat else "monolith"])
        request.url = request.url.copy_with(host=target.host, port=target.port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service_app(chat_dsn: str, make_settings: MakeSettings) -> FastAPI:
    return build(make_settings(chat_dsn), MANIFEST)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def urls(
    chat_dsn: str, service_app: FastAPI, redis_url: str, media_dir: Path
) -> AsyncIterator[dict[str, str]]:
    old = Settings(
        database_url=chat_dsn,
        jwt_secrets=(SECRET,),
        redis_url=redis_url,
        rate_limits={},
        media_dir=media_dir,
        database_pool_size=4,
    )
    async with served(build_app(old)) as monolith, served(service_app) as service:
        yield {"monolith": monolith, "service": service}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sql(chat_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(chat_dsn)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(loop_scope="session")
async def people(urls: dict[str, str], sql: asyncpg.Connection) -> AsyncIterator[People]:
    """People whose chat requests the service and the monolith answer in turn."""
    turns = itertools.cycle(["service", "monolith"])
    async with client_of(Sides(urls, lambda: next(turns))) as client:
        yield People(client, sql)


@pytest_asyncio.fixture(loop_scope="session")
async def ana(urls: dict[str, str], sql: asyncpg.Connection) -> AsyncIterator[Person]:
    """Somebody who only ever meets the service."""
    async with client_of(Sides(urls, lambda: "service")) as client:
        yield await People(client, sql).new()


def client_of(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport, base_url="http://chat.test", timeout=20)


def events_of(text: str) -> list[tuple[str, Any]]:
    """Names and data of an event stream, after a look at its form and numbering."""
    found = []
    for number, block in enumerate(text.strip().split("\n\n"), start=1):
        first, second, third = block.split("\n")
        assert first == f"id: {number}"
        assert second.startswith("event: ")
        assert third.startswith("data: ")
        found.append((second[7:], json.loads(third[6:])))
    return found


async def stored(sql: asyncpg.Connection, person: Person) -> list[asyncpg.Record]:
    """All messages in somebody's conversations."""
    return await sql.fetch(
        "SELECT m.* FROM messages m JOIN conversations c ON c.id = m.conversation_id"
        " WHERE c.user_id = $1 ORDER BY c.created_at, m.seq",
        uuid.UUID(person.id),
    )
