"""A sample service on real servers, and people who call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import structlog
from fastapi import FastAPI
from pydantic import SecretStr

from shared.auth.tokens import TokenIssuer
from shared.ratelimit.buckets import parse_rate_limits
from shared.settings import AppSettings
from tests.support.platform_database import platform_database
from tests.support.sample_service import (
    ORIGIN,
    SECRET,
    client_of,
    running,
    sample_app,
    user_row,
)

Person = Callable[..., Awaitable[UUID]]


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> Iterator[None]:
    """Short tracebacks: the default ones show every local variable and take seconds."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with asyncio.Runner() as runner:
        database = platform_database(postgres_url)
        yield runner.run(database.__aenter__())
        runner.run(database.__aexit__(None, None, None))


@pytest.fixture
def make_settings(
    platform_dsn: str, redis_url: str, rabbitmq_url: str
) -> Callable[..., AppSettings]:
    def make(**changes: Any) -> AppSettings:
        values: dict[str, Any] = {
            "shared_database_url": SecretStr(platform_dsn),
            "redis_url": SecretStr(redis_url),
            "rabbitmq_url": SecretStr(rabbitmq_url),
            "jwt_secrets": (SecretStr(SECRET),),
            "allowed_origins": (ORIGIN,),
            "rate_limits": parse_rate_limits("default=1000,generate=1000,public=1000"),
        }
        return AppSettings(**(values | changes))

    return make


@pytest.fixture
async def sql(platform_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(platform_dsn)
    yield connection
    await connection.close()


@pytest.fixture
def person(sql: asyncpg.Connection) -> Person:
    """Makes an account, of a tier, deleted or not."""

    async def make(tier: int = 0, *, deleted: bool = False) -> UUID:
        user_id = uuid4()
        await sql.execute(
            "INSERT INTO users (id, email, referral_code, confirmed) VALUES ($1, $2, $3, true)",
            *user_row(user_id),
        )
        if deleted:
            await sql.execute("UPDATE users SET deleted_at = now() WHERE id = $1", user_id)
        if tier:
            await sql.execute(
                "INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id,"
                " tier, status) VALUES ($1, 'stripe', $2, $3, $4, 'active')",
                user_id,
                f"sub_{user_id}",
                "price_pro" if tier == 1 else "price_max",
                tier,
            )
        return user_id

    return make


@pytest.fixture
def tokens() -> TokenIssuer:
    return TokenIssuer(SECRET, "http://127.0.0.1:8000")


@pytest.fixture
def bearer(tokens: TokenIssuer) -> Callable[[UUID], dict[str, str]]:
    def headers(user_id: UUID) -> dict[str, str]:
        return {"Authorization": f"Bearer {tokens.access_token(user_id, email=None)}"}

    return headers


@pytest.fixture
def calls() -> list[str]:
    """What the handlers of `app` did, in order."""
    return []


@pytest.fixture
async def app(
    make_settings: Callable[..., AppSettings], calls: list[str]
) -> AsyncIterator[FastAPI]:
    async with running(sample_app(make_settings(), calls)) as app:
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client
