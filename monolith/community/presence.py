"""Who sits in which room, over all apps: a sorted set per room in Redis, by expiry; local without."""

from __future__ import annotations

import time
from uuid import UUID

import redis.asyncio
from redis.exceptions import RedisError

ALIVE_SECONDS = 90  # three missed refreshes of 30 s


def presence_key(room_id: UUID) -> str:
    return f"ws:presence:{room_id}"


class Presence:
    """Raises nothing: without Redis the caller counts its own sockets."""

    def __init__(self, client: redis.asyncio.Redis | None) -> None:
        self._client = client

    async def seats(self, room_id: UUID) -> list[tuple[str, str]] | None:
        """(user id, seat id) of everybody in the room; None if Redis does not answer."""
        if self._client is None:
            return None
        key = presence_key(room_id)
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.zremrangebyscore(key, "-inf", time.time())
                pipeline.zrange(key, 0, -1)
                _, members = await pipeline.execute()
        except (RedisError, OSError, TimeoutError):
            return None
        pairs = [member.decode().partition("/") for member in members]
        return [(user, seat) for user, _, seat in pairs]

    async def keep(self, room_id: UUID, user_id: UUID, seat_id: str) -> None:
        if self._client is None:
            return
        key = presence_key(room_id)
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.zadd(key, {f"{user_id}/{seat_id}": time.time() + ALIVE_SECONDS})
                pipeline.expire(key, 2 * ALIVE_SECONDS)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError):
            return

    async def drop(self, room_id: UUID, user_id: UUID, seat_id: str) -> None:
        if self._client is None:
            return
        try:
            await self._client.zrem(presence_key(room_id), f"{user_id}/{seat_id}")
        except (RedisError, OSError, TimeoutError):
            return
