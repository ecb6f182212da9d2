"""One database with the schema per process, emptied for every test, and the app on it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from monolith.app import build_app
from monolith.migrations import migrate
from monolith.settings import Settings
from monolith.worker import Worker
from tests.support.people import SECRET, STANDARD_SECRET, STRIPE_SECRET, People

KEPT = ("schema_migrations", "plan_prices", "plan_quotas")


async def _admin(postgres_url: str, statement: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def session_dsn(postgres_url: str) -> Iterator[str]:
    """A database with the whole schema, for all tests of one process."""
    name = f"test_monolith_{uuid.uuid4().hex[:12]}"
    asyncio.run(_admin(postgres_url, f'CREATE DATABASE "{name}"'))
    dsn = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    asyncio.run(migrate(dsn))
    yield dsn
    asyncio.run(_admin(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def dsn(session_dsn: str) -> str:
    """The schema without any rows but the plans; emptying is quicker than creating."""
    connection = await asyncpg.connect(session_dsn)
    try:
        rows = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL ($1)",
            list(KEPT),
        )
        statements = [f'DELETE FROM "{row["tablename"]}"' for row in rows]
        await connection.execute("SET session_replication_role = replica;" + ";".join(statements))
    finally:
        await connection.close()
    return session_dsn


@pytest.fixture
async def empty_dsn(postgres_url: str) -> AsyncIterator[str]:
    """A database of the test's own without any table."""
    name = f"test_monolith_{uuid.uuid4().hex[:12]}"
    await _admin(postgres_url, f'CREATE DATABASE "{name}"')
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    await _admin(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def settings(dsn: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=dsn,
        jwt_secrets=(SECRET,),
        redis_url=redis_url,
        public_base_url="https://api.example.com",
        web_domain="example.com",
        allowed_origins=("https://app.example.com",),
        return_hosts=("app.example.com",),
        rate_limits={},
        webhook_secrets={
            "stripe": ("whsec_old", STRIPE_SECRET),
            "revenuecat": ("revenue-cat-value",),
            "supabase": (f"v1,{STANDARD_SECRET}",),
            "clerk": (STANDARD_SECRET,),
        },
        media_dir=tmp_path / "media",
        database_pool_size=6,
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The app with its lifespan, and a client that needs no socket."""
    app = build_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield app, client


@pytest.fixture
async def app_and_client(settings: Settings) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    async with running(settings) as pair:
        yield pair


@pytest.fixture
def client(app_and_client: tuple[FastAPI, httpx.AsyncClient]) -> httpx.AsyncClient:
    return app_and_client[1]


@pytest.fixture
def app(app_and_client: tuple[FastAPI, httpx.AsyncClient]) -> FastAPI:
    return app_and_client[0]


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own to the app's database."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
def people(client: httpx.AsyncClient, database: asyncpg.Connection) -> People:
    return People(client, database)


@pytest.fixture
async def events(settings: Settings) -> AsyncIterator[Worker]:
    """A worker without a broker; `await events.settle()` handles what waits in the outbox."""
    worker = Worker(replace(settings, rabbitmq_url=None))
    async with worker.opened():
        yield worker
