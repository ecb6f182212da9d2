from __future__ import annotations

import asyncpg
import pytest

from migrate.seed.catalogue import read_catalogue
from migrate.seed.load_catalogue import load_catalogue
from monolith.migrations import migrate


@pytest.fixture
async def connection(database: str):  # type: ignore[no-untyped-def]
    await migrate(database)
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_the_catalogue_is_loaded_and_loading_again_changes_nothing(
    connection: asyncpg.Connection,
) -> None:
    catalogue = read_catalogue()
    first = await load_catalogue(connection, catalogue)
    assert {table.table: table.changed for table in first} == {
        "titles": len(catalogue.titles),
        "actors": len(catalogue.actors),
        "characters": len(catalogue.characters),
    }
    before = await connection.fetchval("SELECT max(updated_at) FROM characters")
    second = await load_catalogue(connection, catalogue)
    assert [table.changed for table in second] == [0, 0, 0]
    assert await connection.fetchval("SELECT max(updated_at) FROM characters") == before


async def test_a_changed_row_is_put_right_and_foreign_rows_stay(
    connection: asyncpg.Connection,
) -> None:
    catalogue = read_catalogue()
    await load_catalogue(connection, catalogue)
    await connection.execute("UPDATE titles SET popularity = 0 WHERE title = 'The Matrix'")
    await connection.execute(
        "INSERT INTO characters (name, name_norm, source) VALUES ('Mine', 'mine', 'community')"
    )
    again = await load_catalogue(connection, catalogue)
    assert [table.changed for table in again] == [1, 0, 0]
    assert await connection.fetchval("SELECT count(*) FROM characters WHERE name = 'Mine'") == 1


async def test_parts_refer_to_their_title_and_actor(connection: asyncpg.Connection) -> None:
    await load_catalogue(connection, read_catalogue())
    row = await connection.fetchrow(
        "SELECT t.title, a.name FROM characters c JOIN titles t ON t.id = c.title_id"
        " JOIN actors a ON a.id = c.actor_id WHERE c.name = 'Trinity'"
    )
    assert tuple(row) == ("The Matrix", "Carrie-Anne Moss")


async def test_rows_that_a_provider_has_adopted_stay_as_they_are(
    connection: asyncpg.Connection,
) -> None:
    catalogue = read_catalogue()
    await load_catalogue(connection, catalogue)
    await connection.execute(
        "UPDATE titles SET tmdb_id = 603, popularity = 1 WHERE title = 'The Matrix'"
    )
    await connection.execute("UPDATE characters SET popularity = 2 WHERE name = 'Neo'")
    again = await load_catalogue(connection, catalogue)
    assert [table.changed for table in again] == [0, 0, 0]
    assert await connection.fetchval("SELECT popularity FROM titles WHERE tmdb_id = 603") == 1
