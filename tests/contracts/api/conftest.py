"""One database for all tests of a process, emptied for each, and the suite's sides on it."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
import pytest_asyncio

from migrate.commands.db_migrate import prepare_store
from monolith.migrations import migrate
from tests.contracts.api import seeded
from tests.contracts.api.effects import Workers
from tests.contracts.api.routed import run_behind_router
from tests.contracts.api.seeded import SEARCH_PATH, seed
from tests.contracts.api.sides import Running, Side, side_named
from tests.contracts.api.world import MANIFEST, World
from tests.support.people import People

KEPT = ("schema_migrations", "plan_prices", "plan_quotas")
SIDES = ("monolith", "services")  # a module may add "router" by a SIDES of its own
MODES_SECONDS = 2.5  # every app reads the modes every two seconds
SetMode = Callable[..., Awaitable[None]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "side" in metafunc.fixturenames:
        sides = getattr(metafunc.module, "SIDES", SIDES)
        if "side" in inspect.signature(metafunc.function).parameters:  # starts apps of its own
            sides = tuple(name for name in sides if name != "router")
        metafunc.parametrize("side", sides, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a seeded database, leave out what looks at everybody's rows."""
    if seeded.USERS:
        left_out = [item for item in items if item.get_closest_marker("everybody")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _prepare(dsn: str) -> None:
    await migrate(dsn)
    await prepare_store(dsn, MANIFEST, actor="tests")
    await seed(dsn)


@pytest.fixture(scope="session")
def world(
    postgres_url: str,
    redis_url: str,
    rabbitmq_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A database with the whole schema and the control store, for all tests of one process."""
    name = f"test_api_{uuid.uuid4().hex[:12]}"
    dsn = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    folder = tmp_path_factory.mktemp("api")
    asyncio.run(_execute(postgres_url, f'CREATE DATABASE "{name}"'))
    try:
        asyncio.run(_prepare(dsn))
        yield World(dsn, redis_url, rabbitmq_url, folder / "media", folder / "mail")
    finally:
        asyncio.run(_execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def side(request: pytest.FixtureRequest, world: World) -> Side:
    return side_named(request.param, world)


class Systems:
    """The sides that run in this process; started when first asked for, stopped at the end."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._apps: dict[str, Running] = {}
        self._workers: dict[str, Workers] = {}

    async def apps(self, side: Side) -> Running:
        if side.name not in self._apps:
            opened = run_behind_router(side.world) if side.name == "router" else side.running()
            self._apps[side.name] = await self._stack.enter_async_context(opened)
        return self._apps[side.name]

    async def workers(self, side: Side) -> Workers:
        if side.name not in self._workers:
            url = (await self.apps(side)).url
            self._workers[side.name] = await self._stack.enter_async_context(side.workers(url))
        return self._workers[side.name]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def systems(world: World) -> AsyncIterator[Systems]:
    async with AsyncExitStack() as stack:
        yield Systems(stack)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running(side: Side, systems: Systems) -> Running:
    """The side's apps, which all tests share; their effects lie in tables that are emptied."""
    return await systems.apps(side)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def workers(side: Side, systems: Systems) -> Workers:
    return await systems.workers(side)


@pytest_asyncio.fixture(loop_scope="session")
async def database(world: World) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, after every row but the plans is gone."""
    connection = await asyncpg.connect(
        world.database_url, server_settings={"search_path": SEARCH_PATH}
    )
    rows = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL ($1)",
        list(KEPT),
    )
    statements = [f'DELETE FROM "{row["tablename"]}"' for row in rows]
    await connection.execute("SET session_replication_role = replica;" + ";".join(statements))
    await connection.execute("SET session_replication_role = origin")
    yield connection
    await connection.close()


@pytest.fixture
def client(running: Running, database: asyncpg.Connection) -> httpx.AsyncClient:
    return running.client


@pytest.fixture
def people(client: httpx.AsyncClient, database: asyncpg.Connection) -> People:
    return People(client, database)


@pytest.fixture
def events(workers: Workers, database: asyncpg.Connection) -> Workers:
    """`await events.settle()` handles what waits in the outbox; `run` does a job by the clock."""
    return workers


@pytest_asyncio.fixture(loop_scope="session")
async def maintenance(database: asyncpg.Connection) -> AsyncIterator[SetMode]:
    """`await maintenance(scope, mode, message)`; afterwards no app remembers any of it."""

    async def set_mode(scope: str, mode: str, message: str | None = None) -> None:
        await database.execute(
            "INSERT INTO maintenance_modes (scope, mode, message) VALUES ($1, $2, $3)"
            " ON CONFLICT (scope) DO UPDATE SET mode = excluded.mode, message = excluded.message",
            scope,
            mode,
            message,
        )

    yield set_mode
    await database.execute("DELETE FROM maintenance_modes")
    await asyncio.sleep(MODES_SECONDS)


@pytest.fixture
def media_dir(world: World) -> Path:
    return world.media_dir
