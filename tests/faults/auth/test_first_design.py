"""The faults A1 to A13 of the first design: ours passes every check, the first design fails it."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from jose import jwt
from pydantic import SecretStr, ValidationError
from redis.asyncio import Redis

from shared.auth import dependencies
from shared.auth.issuers import supabase_issuer
from shared.auth.key_sources import PublishedKeys
from shared.auth.verifier import TokenVerifier
from shared.ratelimit.buckets import parse_rate_limits
from shared.redis_connection import open_redis
from shared.settings import AppSettings
from tests.faults.auth import first_design
from tests.support.issuers import SupabaseStandIn
from tests.support.sample_service import client_of, running, sample_app, user_row

ROOT = Path(__file__).parents[3]
SECRET = "the-secret-of-both-designs-0123456789"
ME, PAID = "/api/auth/users/me", "/api/images/generate"


@dataclass
class Design:
    """One app under test, a user with an account, and a second process of the same app."""

    client: httpx.AsyncClient
    second: httpx.AsyncClient
    user_id: UUID
    sql: asyncpg.Connection

    async def me(self, claims: Mapping[str, Any], scheme: str = "Bearer") -> httpx.Response:
        return await self.client.get(ME, headers=_bearer(claims, scheme))

    async def paid(self, claims: Mapping[str, Any]) -> httpx.Response:
        return await self.client.post(PAID, json={"message": "a"}, headers=_bearer(claims))

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        given = {
            "iss": "https://api.example", "sub": str(self.user_id), "aud": "authenticated",
            "role": "authenticated", "iat": now, "exp": now + 600,
            "app_metadata": {"tier": 0}, "user_metadata": {},
        } | changes  # fmt: skip
        return {name: value for name, value in given.items() if value is not ...}


Check = Callable[[Design], Awaitable[bool]]


def _bearer(claims: Mapping[str, Any], scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {jwt.encode(dict(claims), SECRET, algorithm='HS256')}"}


def _settings(platform_dsn: str, redis_url: str, rabbitmq_url: str, **changes: Any) -> AppSettings:
    values: dict[str, Any] = {
        "shared_database_url": SecretStr(platform_dsn),
        "redis_url": SecretStr(redis_url),
        "rabbitmq_url": SecretStr(rabbitmq_url),
        "jwt_secrets": (SecretStr(SECRET),),
        "jwt_issuer": "https://api.example",
        "rate_limits": parse_rate_limits(f"default={first_design.LIMIT_PER_MINUTE}"),
    }
    return AppSettings(**(values | changes))


@pytest.fixture
async def designs(
    platform_dsn: str, redis_url: str, rabbitmq_url: str
) -> AsyncIterator[dict[str, Design]]:
    settings = _settings(platform_dsn, redis_url, rabbitmq_url)
    apps: dict[str, Callable[[], FastAPI]] = {
        "ours": lambda: sample_app(settings),
        "first": lambda: first_design.first_app(SECRET),
    }
    async with AsyncExitStack() as stack:
        sql = await asyncpg.connect(platform_dsn)
        stack.push_async_callback(sql.close)
        found = {}
        for name, build in apps.items():
            clients = [
                await stack.enter_async_context(
                    _quiet(await stack.enter_async_context(running(build())))
                )
                for _ in range(2)
            ]
            user_id = uuid4()
            await sql.execute(
                "INSERT INTO users (id, email, referral_code, confirmed) VALUES ($1, $2, $3, true)",
                *user_row(user_id),
            )
            found[name] = Design(clients[0], clients[1], user_id, sql)
        yield found


def _quiet(app: FastAPI) -> httpx.AsyncClient:
    """A client that sees a 500 as a 500, not as an exception."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://x"
    )


async def a1_public_keys_are_no_users(design: Design) -> bool:
    """The anon and the service key are validly signed, without aud and sub."""
    keys = [
        {"iss": "supabase", "ref": "p", "role": role, "exp": int(time.time()) + 999}
        for role in ("anon", "service_role")
    ]
    return all([(await design.me(key)).status_code in (401, 403) for key in keys])


async def a2_claims_are_required(design: Design) -> bool:
    """No exp, no sub, another issuer, issued in the future: all refused."""
    bad = [
        design.claims(exp=...),
        design.claims(sub=...),
        design.claims(iss="https://evil.example"),
        design.claims(iat=int(time.time()) + 3600),
    ]
    return all([(await design.me(claims)).status_code == 401 for claims in bad])


async def a5_odd_metadata_is_no_crash(design: Design) -> bool:
    """`app_metadata` null, tier as text: known users without a tier."""
    null = await design.me(design.claims(app_metadata=None))
    text = await design.paid(design.claims(app_metadata={"tier": "max"}))
    return (null.status_code, text.status_code) == (200, 402)


async def a8_the_tier_is_not_in_the_token(design: Design) -> bool:
    """A token that claims a tier buys nothing; a purchase counts with an old token."""
    boasting = await design.paid(design.claims(app_metadata={"tier": 2}, user_metadata={"tier": 2}))
    await design.sql.execute(
        "INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id, tier,"
        " status) VALUES ($1, 'stripe', $2, 'price_pro', 1, 'active')",
        design.user_id,
        f"sub_{design.user_id}",
    )
    bought = await design.paid(design.claims(app_metadata={"tier": 0}))
    return (boasting.status_code, bought.status_code) == (402, 201)


async def a9_the_scheme_is_split_off_once(design: Design) -> bool:
    """The scheme is case-insensitive and nothing else is taken for a Bearer token."""
    lower = await design.me(design.claims(), scheme="bearer")
    doubled = await design.me(design.claims(), scheme="Bearer Bearer")
    bare = await design.me(design.claims(), scheme="")
    return [a.status_code for a in (lower, doubled, bare)] == [200, 401, 401]


async def a10_a_401_names_its_scheme_and_nothing_else(design: Design) -> bool:
    """`WWW-Authenticate` is there; what the parser said is not."""
    answer = await design.client.get(ME, headers={"Authorization": "Bearer a.b.c"})
    text = answer.text.lower()
    leaks = any(word in text for word in ("padding", "segment", "decod", "signature", "header"))
    return answer.headers.get("www-authenticate") == "Bearer" and not leaks


async def a11_all_processes_count_together_and_forget(design: Design) -> bool:
    """One counter for two processes; nothing is kept of users who are gone."""
    headers = _bearer(design.claims())
    statuses = [
        (await client.get(ME, headers=headers)).status_code
        for client in (design.client, design.second) * first_design.LIMIT_PER_MINUTE
    ]
    return statuses.count(200) == first_design.LIMIT_PER_MINUTE


async def a12_a_missing_tier_is_told_apart_by_machines(design: Design) -> bool:
    """The code and the two tiers are fields, so that no client confuses it with a failed payment."""
    answer = await design.paid(design.claims())
    error = answer.json().get("error", {})
    return error.get("code") == "INSUFFICIENT_TIER" and error.get("details") == {
        "current_tier": 0,
        "required_tier": 1,
    }


CHECKS: tuple[Check, ...] = (
    a1_public_keys_are_no_users,
    a2_claims_are_required,
    a5_odd_metadata_is_no_crash,
    a8_the_tier_is_not_in_the_token,
    a9_the_scheme_is_split_off_once,
    a10_a_401_names_its_scheme_and_nothing_else,
    a11_all_processes_count_together_and_forget,
    a12_a_missing_tier_is_told_apart_by_machines,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_ours_passes_what_the_first_design_fails(
    check: Check, designs: dict[str, Design]
) -> None:
    assert await check(designs["ours"])
    assert not await check(designs["first"])


@pytest.mark.parametrize("secret", ["", None])
async def test_a3_a4_without_a_secret_an_app_does_not_start(
    secret: str | None, platform_dsn: str, redis_url: str, rabbitmq_url: str
) -> None:
    with pytest.raises(ValidationError):
        _settings(
            platform_dsn, redis_url, rabbitmq_url,
            jwt_secrets=(SecretStr(secret),) if secret is not None else (),
        )  # fmt: skip
    # The first design starts, and takes forged tokens or fails every request.
    forged = jwt.encode({"sub": "anybody", "exp": int(time.time()) + 60}, secret or "", "HS256")
    async with _quiet(first_design.first_app(secret)) as client:
        answer = await client.get(ME, headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code == (200 if secret == "" else 500)


async def test_a6_tokens_of_rotated_signing_keys_are_accepted() -> None:
    supabase = SupabaseStandIn()

    async def fetch(_url: str) -> bytes:
        return json.dumps(supabase.key_set()).encode()

    keys = PublishedKeys("https://x/jwks", algorithms=frozenset({"ES256", "RS256"}), fetch=fetch)
    verifier = TokenVerifier([supabase_issuer(supabase.url, (SecretStr(SECRET),), keys)])
    legacy = jwt.encode(supabase.claims(), SECRET, algorithm="HS256")
    for token in (supabase.token(), supabase.rsa_token(), legacy):
        assert (await verifier.verify(token)).is_user
    async with _quiet(first_design.first_app(SECRET)) as client:
        answer = await client.get(ME, headers={"Authorization": f"Bearer {supabase.token()}"})
    assert answer.status_code == 401


def test_a7_requires_tier_used_as_a_decorator_says_what_to_write() -> None:
    app = FastAPI()
    with pytest.raises(TypeError, match="Depends"):

        @app.get("/")
        @dependencies.requires_tier  # type: ignore[arg-type]
        async def endpoint() -> None: ...


async def test_a11_a_counter_of_a_user_who_is_gone_runs_out(
    platform_dsn: str, redis_url: str, rabbitmq_url: str
) -> None:
    settings = _settings(
        platform_dsn, redis_url, rabbitmq_url, rate_limits=parse_rate_limits("public=5")
    )
    address = f"gone-{uuid4()}"
    async with running(sample_app(settings)) as app, client_of(app) as client:
        await client.get("/api/search?q=a", headers={"X-Real-IP": address})
    redis: Redis = open_redis(redis_url)
    keys = [key async for key in redis.scan_iter(f"rl:public:{address}:*")]
    assert len(keys) == 1
    assert 0 < await redis.ttl(keys[0]) <= 120
    await redis.aclose()


def test_a13_there_is_one_verifier_and_nobody_has_a_copy() -> None:
    users_of_jose = {
        path.relative_to(ROOT).as_posix()
        for folder in ("shared", "services", "router", "migrate")
        for path in (ROOT / folder).rglob("*.py")
        if "stand_ins" not in path.parts  # these sign as the vendors do; they verify nothing
        if "jose" in _imported(path)
    }
    # The reference provider reads id tokens of people that nobody signs in with (contract, 7).
    users_of_jose -= {"services/auth/identity_providers.py"}
    assert {name for name in users_of_jose if not name.startswith("shared/auth/")} == set()
    assert "shared/auth/verifier.py" in users_of_jose


def _imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names = [
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    return {name.partition(".")[0] for name in names}
