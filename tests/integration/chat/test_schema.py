from __future__ import annotations

import asyncio

import asyncpg

from shared.placement.migrations import migrate
from tests.support.platform_database import platform_database

CHAT = "services.chat"
TABLES = ["conversations", "messages", "message_reactions", "outbox", "inbox"]
QUERIES = (
    "SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default"
    " FROM information_schema.columns"
    " WHERE table_schema = 'public' AND table_name = ANY ($1) ORDER BY 1, 2",
    "SELECT tablename, indexname, indexdef FROM pg_indexes"
    " WHERE schemaname = 'public' AND tablename = ANY ($1) ORDER BY 1, 2",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE conrelid::regclass::text = ANY ($1) AND conname NOT LIKE 'x\\_%' ORDER BY 1, 2",
    "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger"
    " WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY ($1) ORDER BY 1, 2",
)


async def describe(dsn: str) -> list[list[tuple[object, ...]]]:
    connection = await asyncpg.connect(dsn)
    try:
        found = [await connection.fetch(sql, TABLES) for sql in QUERIES]
    finally:
        await connection.close()
    return [[tuple(row) for row in rows] for rows in found]


async def test_the_own_schema_is_the_monoliths_without_crossing_keys(
    database: str, postgres_url: str
) -> None:
    assert await migrate(CHAT, database) == ["platform", "chat"]
    async with platform_database(postgres_url) as shared:
        assert await describe(database) == await describe(shared)


async def test_the_schema_may_be_applied_twice_and_twice_at_once(database: str) -> None:
    await asyncio.gather(migrate(CHAT, database), migrate(CHAT, database))
    before = await describe(database)
    await migrate(CHAT, database)
    assert await describe(database) == before


async def test_before_a_split_only_the_platform_part_is_applied(database: str) -> None:
    assert await migrate(CHAT, database, ["platform"]) == ["platform"]
    connection = await asyncpg.connect(database)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert {row["tablename"] for row in tables} == {"outbox", "inbox"}
