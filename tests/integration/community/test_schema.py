from __future__ import annotations

import asyncio

from shared.manifest import load_manifest
from shared.placement.migrations import migrate
from tests.support.own_schema import describe_schema
from tests.support.platform_database import platform_database

PACKAGE = "services.community"
TABLES = [*load_manifest().services["community"].tables, "outbox", "inbox"]


async def test_the_own_schema_is_the_monoliths_without_crossing_keys(
    database: str, postgres_url: str
) -> None:
    assert await migrate(PACKAGE, database) == ["platform", "community"]
    async with platform_database(postgres_url) as shared:
        own = await describe_schema(database, TABLES)
        assert own == await describe_schema(shared, TABLES)
        assert {row[0] for row in own[0]} == set(TABLES)


async def test_the_schema_may_be_applied_twice_and_twice_at_once(database: str) -> None:
    await asyncio.gather(migrate(PACKAGE, database), migrate(PACKAGE, database))
    before = await describe_schema(database, TABLES)
    await migrate(PACKAGE, database)
    assert await describe_schema(database, TABLES) == before
