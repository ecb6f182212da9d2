"""Rate limits over the shared Redis (contract, 1.10)."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.ratelimit.buckets import WINDOW_SECONDS, Decision, RateLimits, parse_rate_limits
from shared.ratelimit.limiter import RateLimiter
from shared.ratelimit.redis_counter import RedisCounter
from shared.redis_connection import open_redis
from shared.settings import AppSettings
from tests.integration.web.conftest import Person
from tests.support.sample_service import client_of, running, sample_app

Settings = Callable[..., AppSettings]


def _address() -> str:
    """An address nobody else counts against."""
    return str(uuid4())


async def _search(client: httpx.AsyncClient, address: str, **headers: str) -> httpx.Response:
    return await client.get("/api/search?q=a", headers={"X-Real-IP": address, **headers})


async def test_every_answer_of_a_limited_route_carries_the_counter(make_settings: Settings) -> None:
    settings = make_settings(rate_limits=parse_rate_limits("public=3"))
    address = _address()
    async with running(sample_app(settings)) as app, client_of(app) as client:
        answers = [await _search(client, address) for _ in range(5)]
        answers.append(await client.get("/api/search", headers={"X-Real-IP": address}))
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429, 429]
    assert [a.headers["x-ratelimit-remaining"] for a in answers] == ["2", "1", "0", "0", "0", "0"]
    refused = answers[3]
    assert refused.headers["x-ratelimit-limit"] == "3"
    reset = int(refused.headers["x-ratelimit-reset"])
    assert reset % WINDOW_SECONDS == 0
    error = refused.json()["error"]
    assert error["code"] == "RATE_LIMITED"
    assert error["details"] == {
        "bucket": "public",
        "retry_after": int(refused.headers["retry-after"]),
    }
    assert 1 <= error["details"]["retry_after"] <= WINDOW_SECONDS


async def test_two_apps_see_one_counter_under_the_frozen_key(
    make_settings: Settings, redis_url: str
) -> None:
    settings = make_settings(rate_limits=parse_rate_limits("public=4"))
    address = _address()
    async with (
        running(sample_app(settings)) as one,
        running(sample_app(settings)) as other,
        client_of(one) as first,
        client_of(other) as second,
    ):
        remaining = [
            (await _search(client, address)).headers["x-ratelimit-remaining"]
            for client in (first, second, first, second)
        ]
    assert remaining == ["3", "2", "1", "0"]
    redis: Redis = open_redis(redis_url)
    window = int(time.time()) // 60 * 60
    counted = [await redis.get(f"rl:public:{address}:{window - back}") for back in (0, 60)]
    assert b"4" in counted
    await redis.aclose()


async def test_users_are_counted_by_id_and_others_by_address(
    make_settings: Settings, person: Person, bearer: Callable[[UUID], dict[str, str]]
) -> None:
    settings = make_settings(rate_limits=parse_rate_limits("default=1"))
    one, other = bearer(await person()), bearer(await person())
    async with running(sample_app(settings)) as app, client_of(app) as client:
        path = "/api/auth/users/me"
        statuses = [
            (await client.get(path, headers=headers)).status_code for headers in (one, other, one)
        ]
        assert statuses == [200, 200, 429]
        refused = await client.get(path, headers={"Authorization": "Bearer x"})
        assert refused.status_code == 401
        assert "x-ratelimit-limit" not in refused.headers  # nobody to count


async def test_a_shadow_copy_is_not_counted(make_settings: Settings) -> None:
    settings = make_settings(rate_limits=parse_rate_limits("public=1"))
    address = _address()
    async with running(sample_app(settings)) as app, client_of(app) as client:
        for _ in range(3):
            copy = await _search(client, address, **{"X-Shadow": "1"})
            assert copy.status_code == 200
            assert "x-ratelimit-limit" not in copy.headers
        assert (await _search(client, address)).headers["x-ratelimit-remaining"] == "0"


@pytest.mark.parametrize("off", [True, False])
async def test_without_redis_or_when_off_nothing_is_limited_or_said(
    make_settings: Settings, off: bool
) -> None:
    settings = (
        make_settings(rate_limits=parse_rate_limits("off"))
        if off
        else make_settings(redis_url=SecretStr("redis://127.0.0.1:1/0"), rate_limits=RateLimits())
    )
    async with running(sample_app(settings)) as app, client_of(app) as client:
        for _ in range(3):
            answer = await _search(client, "203.0.113.9")
            assert answer.status_code == 200
            assert "x-ratelimit-limit" not in answer.headers


async def test_webhooks_and_health_are_never_limited(client: httpx.AsyncClient) -> None:
    for answer in (await client.post("/api/payments/webhook"), await client.get("/health")):
        assert answer.status_code == 200
        assert "x-ratelimit-limit" not in answer.headers


async def test_a_counter_runs_out_by_itself(redis_url: str) -> None:
    redis: Redis = open_redis(redis_url)
    subject = _address()
    moment = 1_700_000_000.0
    limiter = RateLimiter(RedisCounter(redis), parse_rate_limits("public=2"), clock=lambda: moment)
    decisions = [await limiter.count("public", subject) for _ in range(3)]
    assert [d and d.is_allowed for d in decisions] == [True, True, False]
    start = int(moment) // 60 * 60
    assert 0 < await redis.ttl(f"rl:public:{subject}:{start}") <= 2 * WINDOW_SECONDS
    moment = start + 60.0
    renewed = await limiter.count("public", subject)
    assert renewed == Decision("public", 2, 1, start + 120, moment)
    await redis.aclose()


async def test_a_redis_that_forgot_the_script_is_taught_again(redis_url: str) -> None:
    redis: Redis = open_redis(redis_url)
    counter, key = RedisCounter(redis), f"rl:test:{_address()}"
    assert await counter.increment(key, 60) == 1
    counter._digest = "0" * 40  # a script that Redis does not have
    assert await counter.increment(key, 60) == 2
    assert 0 < await redis.ttl(key) <= 60
    await redis.aclose()
