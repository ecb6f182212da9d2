"""The schema of every service that gets a database of its own is the monolith's, without what crosses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from shared.manifest import load_manifest
from shared.placement.migrations import PLATFORM, migrate, schema_parts
from tests.support.own_schema import describe_schema
from tests.support.platform_database import one_for_all

MANIFEST = load_manifest()
MOVING = [service.name for service in MANIFEST.moving_services()]
EVERYWHERE = MANIFEST.platform.everywhere_tables


def tables_of(service: str) -> list[str]:
    return [*MANIFEST.services[service].tables, *EVERYWHERE]


@pytest.fixture(scope="module")
def shared(postgres_url: str) -> Iterator[str]:
    """DSN of a database with the contract's whole schema, which these tests only read."""
    with one_for_all(postgres_url) as dsn:
        yield dsn


@pytest.mark.parametrize("service", MOVING)
async def test_the_own_schema_is_the_monoliths_without_crossing_keys(
    service: str, database: str, shared: str
) -> None:
    tables = tables_of(service)
    assert await migrate(f"services.{service}", database) == [PLATFORM, service]
    own = await describe_schema(database, tables)
    assert own == await describe_schema(shared, tables)
    assert {row[0] for row in own[0]} == set(tables)


@pytest.mark.parametrize("service", MOVING)
async def test_the_schema_may_be_applied_twice_and_twice_at_once(
    service: str, database: str
) -> None:
    package, tables = f"services.{service}", tables_of(service)
    await asyncio.gather(migrate(package, database), migrate(package, database))
    before = await describe_schema(database, tables)
    await migrate(package, database)
    assert await describe_schema(database, tables) == before


async def test_before_a_split_only_the_platform_part_is_applied(database: str) -> None:
    assert await migrate("services.content", database, [PLATFORM]) == [PLATFORM]
    connection = await asyncpg.connect(database)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert {row["tablename"] for row in tables} == set(EVERYWHERE)


def test_an_unknown_part_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="unknown part contents; there are: platform, content"):
        schema_parts("services.content", ["contents"])
