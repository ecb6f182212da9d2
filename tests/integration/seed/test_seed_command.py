from __future__ import annotations

import asyncpg
import pytest

from migrate.commands.seed import fill
from migrate.seed.errors import SeedDatabaseError, SeedRefusedError
from tests.support.platform_database import platform_database


async def test_a_database_that_does_not_answer_is_named_as_such() -> None:
    with pytest.raises(SeedDatabaseError) as caught:
        await fill("postgresql://nobody@127.0.0.1:1/none")
    assert caught.value.reason == "ConnectionRefusedError"


async def test_a_database_without_tables_is_refused(database: str) -> None:
    with pytest.raises(SeedRefusedError) as caught:
        await fill(database)
    assert "migrations" in caught.value.message


async def test_tables_that_have_moved_are_refused_and_left_alone(postgres_url: str) -> None:
    fence = """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'moved' USING ERRCODE = 'SP001'; END $$;
        CREATE TRIGGER fence BEFORE INSERT ON titles EXECUTE FUNCTION refuse();
    """
    async with platform_database(postgres_url) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute(fence)
        with pytest.raises(SeedRefusedError) as caught:
            await fill(dsn)
        assert "moved" in caught.value.reason
        assert await connection.fetchval("SELECT count(*) FROM actors") == 0
        await connection.execute("ALTER TABLE titles DISABLE TRIGGER fence")
        await fill(dsn)
        await connection.execute("ALTER TABLE titles ENABLE TRIGGER fence")
        assert [table.changed for table in await fill(dsn)] == [0, 0, 0]  # nothing to write
        await connection.close()
