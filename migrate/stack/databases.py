"""Databases inside the PostgreSQL of a stack: the shared one and those that services move into."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import asyncpg

CONNECT_SECONDS = 10.0


def database_url(server_url: str, name: str) -> str:
    """The address of a database on a server that is given by the address of any of its databases."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


async def ensure_databases(server_url: str, names: list[str]) -> list[str]:
    """Create what is missing; returns the names created now. Safe when two commands do it at once."""
    connection = await asyncpg.connect(server_url, timeout=CONNECT_SECONDS)
    try:
        rows = await connection.fetch("SELECT datname FROM pg_database")
        missing = [name for name in names if name not in {row["datname"] for row in rows}]
        for name in missing:
            quoted = name.replace('"', '""')
            try:
                await connection.execute(f'CREATE DATABASE "{quoted}"')
            except asyncpg.DuplicateDatabaseError:
                continue
        return missing
    finally:
        await connection.close(timeout=CONNECT_SECONDS)
