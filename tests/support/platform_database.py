"""The shared database with the contract's tables, made once per test process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from monolith.migrations import migrate


@contextmanager
def platform_database(postgres_url: str) -> Iterator[str]:
    """DSN of a fresh database with the whole schema; dropped afterwards."""
    name = f"platform_{uuid.uuid4().hex[:12]}"
    dsn = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    asyncio.run(_execute(postgres_url, f'CREATE DATABASE "{name}"'))
    try:
        asyncio.run(_migrate(dsn))
        yield dsn
    finally:
        asyncio.run(_execute(postgres_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


async def _migrate(dsn: str) -> None:
    await migrate(dsn)


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
