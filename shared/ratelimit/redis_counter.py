"""The counter of rate limits in Redis: one command, one round trip per request."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

#: Count, and let the key run out although nobody comes back; both or nothing.
_SCRIPT = (
    "local n = redis.call('INCR', KEYS[1])"
    " if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end"
    " return n"
)


class RedisCounter:
    """INCR and EXPIRE as one script. Raises whatever Redis raises."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._digest = sha1(
            _SCRIPT.encode(), usedforsecurity=False
        ).hexdigest()  # how Redis names it

    async def increment(self, key: str, ttl_seconds: int) -> int:
        try:
            count: Any = await self._redis.evalsha(self._digest, 1, key, ttl_seconds)
        except NoScriptError:  # the first call after a start of Redis
            count = await self._redis.eval(_SCRIPT, 1, key, ttl_seconds)
        return int(count)
