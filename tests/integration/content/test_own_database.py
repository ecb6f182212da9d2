"""The service when its tables have moved: reads, index and events follow the placement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from migrate.commands.db_migrate import prepare_store
from services.content.app import build
from services.content.settings import ContentSettings
from shared.control.model import FlagChange
from shared.control.store import ControlStore
from shared.manifest import load_manifest
from shared.placement.migrations import migrate
from shared.states import DataState
from tests.integration.content.conftest import eventually, running
from tests.support.platform_database import platform_database

CONTENT = "services.content"
MANIFEST = load_manifest(Path("migration.toml"))
INSERT = "INSERT INTO titles (format, title, title_norm, popularity) VALUES ('movie', $1, $2, $3)"


@pytest.fixture
async def shared_dsn(postgres_url: str) -> AsyncIterator[str]:
    async with platform_database(postgres_url) as dsn:
        await prepare_store(dsn, MANIFEST, actor="tests")
        yield dsn


async def add_title(dsn: str, title: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(INSERT, title, title.lower(), 1.0)
    await connection.close()


async def move(shared_dsn: str, *states: str) -> None:
    """Take the placement of content through these states, with all traffic on the service."""
    store = await ControlStore.connect(shared_dsn)
    try:
        routes = [row.name for row in MANIFEST.routes if row.service == "content"]
        everything = dict.fromkeys(routes, FlagChange(percent=100.0))
        await store.set_flags(everything, actor="tests", reason="test")
        for state in states:
            await store.set_placement("content", DataState(state), actor="tests", reason="test")
    finally:
        await store.close()


async def first_title(client: httpx.AsyncClient) -> str | None:
    items = (await client.get("/api/resources/movies")).json()["items"]
    return items[0]["title"] if items else None


async def test_everything_is_read_from_the_database_that_owns_the_tables(
    shared_dsn: str, database: str, make_settings: Callable[..., ContentSettings]
) -> None:
    await migrate(CONTENT, database)
    await add_title(shared_dsn, "Alpha Shared")
    await add_title(database, "Alpha Own")
    settings = make_settings(shared_dsn, database_url=SecretStr(database))
    async with running(build(settings, MANIFEST)) as client:
        found = (await client.get("/api/search?q=alpha")).json()["items"]
        assert [hit["name"] for hit in found] == ["Alpha Shared"]
        assert await first_title(client) == "Alpha Shared"
        await move(shared_dsn, "copying", "following", "own")
        await eventually(
            client,
            "/api/search?q=alpha",
            lambda answer: [hit["name"] for hit in answer.json()["items"]] == ["Alpha Own"],
        )
        assert await first_title(client) == "Alpha Own"
