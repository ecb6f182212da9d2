"""Does Redis answer, and will it go on taking writes when its memory is full?"""

from __future__ import annotations

from redis.exceptions import RedisError

from migrate.doctor.finding import Finding, error, ok, warning
from shared.redis_connection import open_redis

ANSWER_SECONDS = 2.0


async def redis_findings(url: str) -> list[Finding]:
    """The shared Redis: counters, cache, fan-out."""
    redis = open_redis(url, timeout_seconds=ANSWER_SECONDS)
    try:
        info = await redis.info()
    except (RedisError, OSError, TimeoutError) as problem:
        return [
            error(
                "redis",
                f"does not answer ({type(problem).__name__}): nothing is rate limited or cached",
            )
        ]
    finally:
        await redis.aclose()
    if info.get("maxmemory") and info.get("maxmemory_policy") == "noeviction":
        return [
            warning(
                "redis",
                "refuses writes when its memory is full; set maxmemory-policy to volatile-lru",
            )
        ]
    return [ok("redis", f"version {info.get('redis_version', 'unknown')}")]
