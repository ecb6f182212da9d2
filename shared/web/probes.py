"""Checks of the servers an app depends on; each raises or answers False when the server is ill."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from redis.asyncio import Redis

from shared.placement.connection import Pool
from shared.web.health import Check

_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"  # AMQP 0-9-1, 4.2.2: protocol header
_METHOD_FRAME = b"\x01"  # 2.3.5: the broker answers with Connection.Start


def database_check(pool: Pool) -> Check:
    """One `SELECT 1`."""

    async def check() -> bool:
        return bool(await pool.fetchval("SELECT 1") == 1)

    return check


def redis_check(redis: Redis) -> Check:
    """One `PING`."""

    async def check() -> bool:
        return bool(await redis.ping())

    return check


def broker_check(url: str) -> Check:
    """Says hello to the broker and hangs up: nothing is logged in, nothing is declared."""
    parts = urlsplit(url)
    host, port = (
        parts.hostname or "127.0.0.1",
        parts.port or (5671 if parts.scheme == "amqps" else 5672),
    )
    use_tls = True if parts.scheme == "amqps" else None

    async def check() -> bool:
        reader, writer = await asyncio.open_connection(host, port, ssl=use_tls)
        try:
            writer.write(_AMQP_HEADER)
            await writer.drain()
            return await reader.readexactly(1) == _METHOD_FRAME
        finally:
            writer.close()

    return check
