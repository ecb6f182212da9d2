"""The cache on a real Redis, and without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from shared.cache import MAX_VALUE_BYTES, NAMESPACES, POPULAR, TIER, Cache, Namespace
from shared.contract.auth import DELETED_AUTHOR
from shared.redis_connection import OutagePause, open_redis


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    redis = open_redis(redis_url)
    yield redis
    await redis.aclose()


@pytest.fixture
def cache(redis: Redis) -> Cache:
    return Cache(redis)


@pytest.fixture
def name() -> str:
    """A part of a key that no other test uses."""
    return uuid4().hex


async def test_a_value_is_kept_for_the_life_of_its_namespace(
    cache: Cache, redis: Redis, name: str
) -> None:
    await cache.put(POPULAR, name, value={"a": [1, "ü", None]})
    assert await cache.get(POPULAR, name) == {"a": [1, "ü", None]}
    assert 86_300 < await redis.ttl(POPULAR.key(name)) <= 86_400
    await cache.put(TIER, name, value=2, ttl_seconds=9999)
    assert 0 < await redis.ttl(TIER.key(name)) <= 60
    await cache.put(TIER, name, value=2, ttl_seconds=5)
    assert 0 < await redis.ttl(TIER.key(name)) <= 5
    await cache.forget(POPULAR, name)
    assert await cache.get(POPULAR, name) is None


async def test_models_are_kept_as_their_json(cache: Cache, name: str) -> None:
    await cache.put(POPULAR, name, value=DELETED_AUTHOR)
    assert await cache.get(POPULAR, name) == DELETED_AUTHOR.model_dump(mode="json")


async def test_what_cannot_be_read_is_a_miss(cache: Cache, redis: Redis, name: str) -> None:
    await redis.set(POPULAR.key(name), b"{not json")
    assert await cache.get(POPULAR, name) is None


async def test_too_large_a_value_is_not_kept(cache: Cache, name: str) -> None:
    await cache.put(POPULAR, name, value="a" * MAX_VALUE_BYTES)
    assert await cache.get(POPULAR, name) is None


def test_parts_never_run_into_each_other_and_versions_are_apart() -> None:
    one, other = Namespace("x", 1, 1), Namespace("x", 2, 1)
    assert one.key("a:b", "c") != one.key("a", "b:c")
    assert one.key("a") != one.key("a", "")
    assert one.key("a") != other.key("a")
    assert one.key("*") == "cache:x:v1:%2A"
    assert len({namespace.name for namespace in NAMESPACES}) == len(NAMESPACES)


async def test_a_missing_value_is_made_once_for_all_who_wait(cache: Cache, name: str) -> None:
    made = 0

    async def make() -> list[int]:
        nonlocal made
        made += 1
        await asyncio.sleep(0.05)
        return [made]

    found = await asyncio.gather(*(cache.remember(POPULAR, name, make=make) for _ in range(20)))
    assert found == [[1]] * 20
    assert await cache.remember(POPULAR, name, make=make) == [1]
    assert made == 1


async def test_an_error_in_making_reaches_everybody_and_is_not_kept(
    cache: Cache, name: str
) -> None:
    async def fail() -> Any:
        await asyncio.sleep(0.01)
        raise LookupError("no such film")

    found = await asyncio.gather(
        *(cache.remember(POPULAR, name, make=fail) for _ in range(3)), return_exceptions=True
    )
    assert [type(error) for error in found] == [LookupError] * 3

    async def make() -> int:
        return 7

    assert await cache.remember(POPULAR, name, make=make) == 7


async def test_a_waiter_who_leaves_does_not_stop_the_others(cache: Cache, name: str) -> None:
    async def make() -> int:
        await asyncio.sleep(0.05)
        return 7

    first = asyncio.create_task(cache.remember(POPULAR, name, make=make))
    second = asyncio.create_task(cache.remember(POPULAR, name, make=make))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == 7


async def test_the_first_time_is_said_once(cache: Cache, name: str) -> None:
    found = await asyncio.gather(*(cache.first_time(POPULAR, name) for _ in range(10)))
    assert sorted(found) == [False] * 9 + [True]


async def test_without_redis_everything_is_a_miss_and_nothing_fails(name: str) -> None:
    redis = open_redis("redis://127.0.0.1:1/0")
    moment = 0.0
    pause = OutagePause(clock=lambda: moment)
    cache = Cache(redis, pause=pause)
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        return made

    await cache.put(POPULAR, name, value=1)
    assert pause.is_on
    assert await cache.get(POPULAR, name) is None
    await cache.forget(POPULAR, name)
    assert [await cache.remember(POPULAR, name, make=make) for _ in range(2)] == [1, 2]
    assert await cache.first_time(POPULAR, name) is True
    moment = 1.1
    assert not pause.is_on
    await redis.aclose()


async def test_a_redis_that_hangs_costs_one_short_wait(name: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    redis = open_redis(f"redis://127.0.0.1:{port}/0", timeout_seconds=0.05)
    cache = Cache(redis)
    async with asyncio.timeout(5):
        for _ in range(200):
            assert await cache.get(POPULAR, name) is None
    await redis.aclose()
    server.close()
