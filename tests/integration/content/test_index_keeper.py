from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from services.content.index_keeper import IndexKeeper, IndexNotLoadedError
from services.content.search.entries import Type
from shared.contract.norm import norm
from shared.errors import Code
from shared.placement import Database, FixedPlacement, PoolSettings, open_pools
from tests.support.platform_database import platform_database


@dataclass
class World:
    """A keeper on a small catalogue, and a connection of somebody else who writes."""

    dsn: str
    database: Database
    keeper: IndexKeeper
    sql: asyncpg.Connection

    async def add(self, *names: str) -> None:
        await self.sql.executemany(
            "INSERT INTO characters (name, name_norm) VALUES ($1, $2)",
            [(name, norm(name)) for name in names],
        )

    def names(self, query: str) -> list[str]:
        found = self.keeper.search(query, Type.CHARACTER, 0, 100)
        return [hit.entry.name for hit in found]


@pytest.fixture
async def world(postgres_url: str) -> AsyncIterator[World]:
    async with platform_database(postgres_url) as dsn:
        pools = await open_pools(
            "content/test", shared_dsn=dsn, settings=PoolSettings(connect_seconds=1)
        )
        database = Database("content", pools, FixedPlacement())
        sql = await asyncpg.connect(dsn)
        yield World(dsn, database, IndexKeeper(database), sql)
        await sql.close()
        await database.close()


async def test_nothing_is_answered_before_the_catalogue_was_read(world: World) -> None:
    with pytest.raises(IndexNotLoadedError) as caught:
        world.keeper.search("anything", None, 0, 1)
    assert caught.value.code is Code.UNAVAILABLE
    assert await world.keeper.refresh() is True
    assert world.names("anything") == []


async def test_new_changed_and_removed_rows_are_followed(world: World) -> None:
    await world.add("Alpha", "Beta")
    await world.keeper.refresh()
    assert world.names("alpha") == ["Alpha"]
    await world.add("Gamma")
    assert await world.keeper.refresh() is True
    assert world.names("gamma") == ["Gamma"]
    await world.sql.execute("UPDATE characters SET name = 'Delta', name_norm = 'delta'"
                            " WHERE name = 'Alpha'")  # fmt: skip
    await world.sql.execute("DELETE FROM characters WHERE name = 'Beta'")
    assert await world.keeper.refresh() is True
    assert (world.names("alpha"), world.names("beta")) == ([], [])
    assert world.names("delta") == ["Delta"]


async def test_a_look_at_unchanged_tables_changes_nothing(world: World) -> None:
    await world.add("Alpha")
    await world.keeper.refresh()
    assert await world.keeper.refresh() is False


async def test_a_row_that_is_committed_long_after_it_was_written_is_found(world: World) -> None:
    await world.add("Alpha")
    await world.sql.execute(
        "INSERT INTO characters (name, name_norm, updated_at) VALUES ('New', 'new', now())"
    )
    await world.keeper.refresh()
    await world.sql.execute(
        "INSERT INTO characters (name, name_norm, updated_at)"
        " VALUES ('Late', 'late', now() - interval '1 hour')"
    )
    await world.sql.execute("DELETE FROM characters WHERE name = 'Alpha'")
    assert await world.keeper.refresh() is True
    assert world.names("late") == ["Late"]
    assert world.names("alpha") == []


async def test_a_writer_that_commits_after_a_later_one_is_not_missed(world: World) -> None:
    await world.add("Alpha", "Beta")
    slow = await asyncpg.connect(world.dsn)
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute("UPDATE characters SET name = 'A2', name_norm = 'a2' WHERE name = 'Alpha'")
    await world.sql.execute(
        "UPDATE characters SET name = 'B2', name_norm = 'b2' WHERE name = 'Beta'"
    )
    await world.keeper.refresh()
    await transaction.commit()
    await slow.close()
    assert await world.keeper.refresh() is True
    assert (world.names("a2"), world.names("b2")) == (["A2"], ["B2"])


async def test_large_tables_are_read_in_batches(world: World) -> None:
    await world.add(*(f"Name {number}" for number in range(2500)))
    await world.keeper.refresh()
    assert world.names("name 2499")[0] == "Name 2499"
    await world.sql.execute("DELETE FROM characters WHERE name_norm >= 'name 1'")
    await world.keeper.refresh()
    assert "Name 2499" not in world.names("name 2499")
    assert world.names("name 0")[0] == "Name 0"


async def test_the_index_keeps_answering_while_its_database_is_away(world: World) -> None:
    await world.add("Alpha")
    async with world.keeper.running():
        async with asyncio.timeout(5):
            while not world.keeper.is_loaded:
                await asyncio.sleep(0.02)
        name = world.dsn.rsplit("/", 1)[1]
        admin = await asyncpg.connect(world.dsn.rsplit("/", 1)[0] + "/postgres")
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        await asyncio.sleep(0.3)
        assert world.names("alpha") == ["Alpha"]
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await admin.close()
        world.sql = await asyncpg.connect(world.dsn)
        await world.add("Back Again")
        async with asyncio.timeout(15):
            while not world.names("back again"):
                await asyncio.sleep(0.05)
