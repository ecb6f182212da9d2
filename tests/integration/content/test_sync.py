from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from migrate.commands.db_migrate import prepare_store
from migrate.seed.catalogue import read_catalogue
from migrate.seed.load_catalogue import load_catalogue
from services.content.settings import ContentWorkerSettings
from services.content.sync import SyncResult, synchronise
from shared.errors import Code, PeerError
from shared.manifest import load_manifest
from tests.support.catalogue_providers import (
    TMDB_KEY,
    TVDB_KEY,
    Providers,
    movie,
    person,
    series,
    serving,
)
from tests.support.platform_database import platform_database

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = load_manifest(ROOT / "migration.toml")


@dataclass
class World:
    providers: Providers
    sql: asyncpg.Connection
    dsn: str
    urls: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)

    async def sync(self, **changes: Any) -> SyncResult | None:
        values = {
            "shared_database_url": SecretStr(self.dsn),
            "redis_url": SecretStr(self.urls["redis"]),
            "rabbitmq_url": SecretStr(self.urls["rabbitmq"]),
            "jwt_secrets": (SecretStr("x" * 32),),
            "tmdb_api_key": SecretStr(TMDB_KEY),
            "tmdb_base_url": f"{self.providers.url}/3",
            "tmdb_image_base_url": "https://images.example",
            "tvdb_base_url": f"{self.providers.url}/v4",
            "sync_pages": 2,
        }
        return await synchronise(ContentWorkerSettings(**(values | changes)), MANIFEST)

    async def title(self, name: str) -> asyncpg.Record:
        row = await self.sql.fetchrow("SELECT * FROM titles WHERE title = $1", name)
        assert row is not None
        return row

    async def cast(self, title: str) -> list[tuple[str, str]]:
        rows = await self.sql.fetch(
            "SELECT c.name, a.name AS actor FROM characters c JOIN titles t ON t.id = c.title_id"
            " JOIN actors a ON a.id = c.actor_id WHERE t.title = $1"
            " ORDER BY c.popularity DESC, c.name",
            title,
        )
        return [(row["name"], row["actor"]) for row in rows]


@pytest.fixture
async def world(postgres_url: str, redis_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    async with platform_database(postgres_url) as dsn, serving(Providers()) as providers:
        await prepare_store(dsn, MANIFEST, actor="tests")
        sql = await asyncpg.connect(dsn)
        yield World(providers, sql, dsn, {"redis": redis_url, "rabbitmq": rabbitmq_url})
        await sql.close()


async def test_new_titles_come_with_their_cast(world: World) -> None:
    world.providers.movies[603] = movie(603, "The Matrix", 1999)
    assert await world.sync() == SyncResult(titles=1, failed=0)
    row = await world.title("The Matrix")
    assert (row["format"], row["category"], row["year"]) == ("movie", "live_action", 1999)
    assert (row["genres"], row["popularity"]) == (["action", "science fiction"], 80.0)
    assert row["poster_url"] == "https://images.example/603.jpg"
    assert await world.cast("The Matrix") == [("Neo", "Keanu Reeves")]
    assert await world.sql.fetchval("SELECT tmdb_id FROM actors") == 6384


async def test_shipped_rows_are_adopted_not_doubled(world: World) -> None:
    await load_catalogue(world.sql, read_catalogue())
    before = await world.title("The Matrix")
    world.providers.movies[603] = movie(603, "The Matrix", 1999)
    await world.sync()
    after = await world.title("The Matrix")
    assert after["id"] == before["id"]
    assert (after["tmdb_id"], after["overview"]) == (603, "About The Matrix.")
    actors = await world.sql.fetch("SELECT tmdb_id FROM actors WHERE name = 'Keanu Reeves'")
    assert [row["tmdb_id"] for row in actors] == [6384]
    neos = await world.sql.fetch(
        "SELECT image_url FROM characters WHERE name = 'Neo' AND title_id = $1", before["id"]
    )
    assert [row["image_url"] for row in neos] == ["https://images.example/p6384.jpg"]


async def test_what_has_not_changed_keeps_its_time(world: World) -> None:
    world.providers.movies[603] = movie(603, "The Matrix", 1999)
    await world.sync()
    before = await world.title("The Matrix")
    await world.sql.execute("DELETE FROM provider_cache")
    await world.sync()
    assert (await world.title("The Matrix"))["updated_at"] == before["updated_at"]
    changed = [
        person(6384, "Keanu Reeves", "Neo", 0),
        person(530, "Carrie-Anne Moss", "Trinity", 1),
    ]
    world.providers.movies[603] = movie(
        603, "The Matrix", 1999, vote_count=0, credits={"cast": changed}
    )
    await world.sql.execute("DELETE FROM provider_cache")
    await world.sync()
    assert (await world.title("The Matrix"))["popularity"] == 0.0
    assert sorted(await world.cast("The Matrix")) == [
        ("Neo", "Keanu Reeves"),
        ("Trinity", "Carrie-Anne Moss"),
    ]


async def test_answers_are_kept_and_not_asked_for_again(world: World) -> None:
    world.providers.movies[603] = movie(603, "The Matrix", 1999)
    await world.sync()
    asked = len(world.providers.requests)
    await world.sync()
    assert len(world.providers.requests) == asked
    keys = await world.sql.fetch("SELECT cache_key FROM provider_cache")
    assert not [row for row in keys if TMDB_KEY in row["cache_key"]]
    await world.sql.execute("UPDATE provider_cache SET expires_at = now() - interval '1 second'")
    await world.sync()
    assert len(world.providers.requests) == 2 * asked


async def test_tvdb_fills_what_is_missing_of_a_series(world: World) -> None:
    world.providers.series[3570] = series(3570, "Sailor Moon", 1992)
    world.providers.tvdb = [
        {
            "name": "Sailor Moon",
            "tvdb_id": "78500",
            "overview": "A girl and a cat.",
            "image_url": "https://tvdb.example/78500.jpg",
        }
    ]
    await world.sync(tvdb_api_key=SecretStr(TVDB_KEY))
    row = await world.title("Sailor Moon")
    assert (row["category"], row["genres"]) == ("anime", ["science fiction", "fantasy"])
    assert (row["tvdb_id"], row["overview"]) == (78500, "A girl and a cat.")
    assert row["poster_url"] == "https://tvdb.example/78500.jpg"
    assert world.providers.requests.count("/v4/login") == 1


async def test_a_busy_provider_is_asked_again(world: World) -> None:
    world.providers.movies[603] = movie(603, "The Matrix", 1999)
    world.providers.failures = [429, 503]
    assert await world.sync() == SyncResult(titles=1, failed=0)


async def test_one_unreadable_title_does_not_stop_the_others(world: World) -> None:
    world.providers.movies = {
        1: movie(1, "", 2000),
        2: movie(2, "Second", 2002),
        3: {"id": 3},
    }
    assert await world.sync() == SyncResult(titles=1, failed=0)


async def test_a_wrong_key_is_a_failure_of_the_provider_and_is_not_shown(world: World) -> None:
    with pytest.raises(PeerError) as caught:
        await world.sync(tmdb_api_key=SecretStr("wrong-key"))
    assert caught.value.code is Code.PROVIDER_ERROR
    assert caught.value.details == {"provider_kind": "catalogue"}
    assert "wrong-key" not in caught.value.message


async def test_without_a_key_nothing_is_asked(world: World) -> None:
    assert await world.sync(tmdb_api_key=None) is None
    assert world.providers.requests == []


async def test_the_command_says_that_there_is_no_key(world: World) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "SHARED_DATABASE_URL": world.dsn,
        "REDIS_URL": world.urls["redis"],
        "RABBITMQ_URL": world.urls["rabbitmq"],
        "JWT_SECRETS": "x" * 32,
    }
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs meanwhile
        [sys.executable, "-m", "services.content.sync"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "TMDB_API_KEY is not set" in done.stdout
