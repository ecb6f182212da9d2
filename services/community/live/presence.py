"""Who sits in which room, over all apps: a sorted set per room in Redis, by expiry.

Key and members are shared with every app of the product: `ws:presence:<room>`, `<user>/<seat>`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

ALIVE_SECONDS = 90  # three missed refreshes of 30 s
_DOWN = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Sitting:
    """One socket of a user somewhere."""

    user_id: str
    seat_id: str


class Presence:
    """Raises nothing: without Redis the caller counts its own sockets."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def sittings(self, room_id: UUID) -> list[Sitting] | None:
        """Every socket in the room; None if Redis does not answer."""
        key = _key(room_id)
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.zremrangebyscore(key, "-inf", time.time())
                pipeline.zrange(key, 0, -1)
                _, members = await pipeline.execute()
        except _DOWN:
            return None
        pairs = (member.decode().partition("/") for member in members)
        return [Sitting(user_id, seat_id) for user_id, _, seat_id in pairs]

    async def keep(self, room_id: UUID, sitting: Sitting) -> None:
        """Count a socket for the next ALIVE_SECONDS."""
        key = _key(room_id)
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.zadd(key, {_member(sitting): time.time() + ALIVE_SECONDS})
                pipeline.expire(key, 2 * ALIVE_SECONDS)
                await pipeline.execute()
        except _DOWN:
            return

    async def drop(self, room_id: UUID, sitting: Sitting) -> None:
        try:
            await self._redis.zrem(_key(room_id), _member(sitting))
        except _DOWN:
            return


def _key(room_id: UUID) -> str:
    return f"ws:presence:{room_id}"


def _member(sitting: Sitting) -> str:
    return f"{sitting.user_id}/{sitting.seat_id}"
