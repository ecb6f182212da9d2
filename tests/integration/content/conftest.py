"""The content service on real servers over the shipped catalogue; started once for all tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr

from migrate.commands.db_migrate import prepare_store
from migrate.seed.catalogue import read_catalogue
from migrate.seed.load_catalogue import load_catalogue
from monolith.migrations import migrate as migrate_monolith
from services.content.app import build
from services.content.settings import ContentSettings
from shared.manifest import load_manifest
from shared.ratelimit.buckets import parse_rate_limits

SECRET = "content-secret-of-forty-bytes-0123456789"
MANIFEST = load_manifest(Path("migration.toml"))


@pytest.fixture(scope="session")
def catalogue_dsn(postgres_url: str) -> Iterator[str]:
    """A shared database with the whole schema, the control store and the shipped catalogue."""
    name = f"content_{uuid.uuid4().hex[:12]}"
    dsn = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    asyncio.run(_execute(postgres_url, f'CREATE DATABASE "{name}"'))
    try:
        asyncio.run(_fill(dsn))
        yield dsn
    finally:
        asyncio.run(_execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _fill(dsn: str) -> None:
    await migrate_monolith(dsn)
    await prepare_store(dsn, MANIFEST, actor="tests")
    connection = await asyncpg.connect(dsn)
    try:
        await load_catalogue(connection, read_catalogue())
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def make_settings(redis_url: str, rabbitmq_url: str) -> Callable[..., ContentSettings]:
    def make(dsn: str, **changes: Any) -> ContentSettings:
        values: dict[str, Any] = {
            "shared_database_url": SecretStr(dsn),
            "redis_url": SecretStr(redis_url),
            "rabbitmq_url": SecretStr(rabbitmq_url),
            "jwt_secrets": (SecretStr(SECRET),),
            "rate_limits": parse_rate_limits("off"),
        }
        return ContentSettings(**(values | changes))

    return make


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the started app, once its index is loaded."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://content") as client:
            await eventually(client, "/readyz", lambda answer: answer.status_code == 200)
            yield client


async def eventually(
    client: httpx.AsyncClient, path: str, is_so: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """The first answer of which `is_so`; fails after 10 s."""
    async with asyncio.timeout(10):
        while not is_so(answer := await client.get(path)):
            await asyncio.sleep(0.05)
    return answer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(
    catalogue_dsn: str, make_settings: Callable[..., ContentSettings]
) -> AsyncIterator[httpx.AsyncClient]:
    async with running(build(make_settings(catalogue_dsn), MANIFEST)) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sql(catalogue_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(catalogue_dsn)
    yield connection
    await connection.close()
