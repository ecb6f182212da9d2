"""Who may call, and which refusal comes first (contract, 1.4 and 1.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from shared.auth.tokens import TokenIssuer
from shared.ratelimit.buckets import RateLimits, parse_rate_limits
from shared.settings import AppSettings
from shared.web.maintenance import Mode
from tests.integration.web.conftest import Person
from tests.support.issuers import ClerkStandIn
from tests.support.sample_service import client_of, running, sample_app

Bearer = Callable[[UUID], dict[str, str]]
TALK = "/api/chat/talk_with"


def _error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("header", [None, "Basic abc", "", "Token x"])
async def test_no_bearer_is_auth_required(client: httpx.AsyncClient, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await client.get("/api/auth/users/me", headers=headers)
    assert _error(answer) == (401, "AUTH_REQUIRED")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("value", ["", "x", "sb_publishable_abc", "a.b", "a.b.c", "a.b.c.d", "é"])
async def test_a_bearer_that_is_no_token_is_invalid(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get(
        "/api/auth/users/me", headers={"Authorization": f"Bearer {value}".encode()}
    )
    assert _error(answer) == (401, "TOKEN_INVALID")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_scheme_is_case_insensitive(
    client: httpx.AsyncClient, person: Person, tokens: TokenIssuer
) -> None:
    user_id = await person()
    token = tokens.access_token(user_id, email=None)
    for scheme in ("bearer", "BEARER", "Bearer"):
        answer = await client.get(
            "/api/auth/users/me", headers={"Authorization": f"{scheme} {token}"}
        )
        assert answer.json() == {"user_id": str(user_id)}


async def test_without_an_account_only_sync_is_open(
    client: httpx.AsyncClient, bearer: Bearer
) -> None:
    headers = bearer(uuid4())
    assert _error(await client.get("/api/auth/users/me", headers=headers)) == (
        403,
        "ACCOUNT_NOT_PROVISIONED",
    )
    assert (await client.post("/api/auth/sync", headers=headers)).status_code == 200


async def test_a_deleted_account_is_refused_at_once_everywhere(
    client: httpx.AsyncClient, person: Person, bearer: Bearer, sql: asyncpg.Connection
) -> None:
    user_id = await person()
    assert (await client.get("/api/auth/users/me", headers=bearer(user_id))).status_code == 200
    await sql.execute("UPDATE users SET deleted_at = now() WHERE id = $1", user_id)
    for method, path in (("GET", "/api/auth/users/me"), ("POST", "/api/auth/sync")):
        answer = await client.request(method, path, headers=bearer(user_id))
        assert _error(answer) == (401, "ACCOUNT_DELETED")
    viewer = await client.get("/api/story/stories", headers=bearer(user_id))
    assert viewer.json() == {"user_id": None}


async def test_roles_do_not_mix(
    client: httpx.AsyncClient, person: Person, bearer: Bearer, tokens: TokenIssuer
) -> None:
    service = {"Authorization": f"Bearer {tokens.service_token()}"}
    assert (await client.get("/api/analytics/platform", headers=service)).status_code == 200
    user = bearer(await person())
    assert _error(await client.get("/api/analytics/platform", headers=user)) == (403, "FORBIDDEN")
    assert _error(await client.get("/api/auth/users/me", headers=service)) == (403, "FORBIDDEN")


async def test_a_public_route_takes_any_token_for_anonymous_or_known(
    client: httpx.AsyncClient, person: Person, bearer: Bearer
) -> None:
    user_id = await person()
    seen: list[Any] = []
    for headers in ({}, {"Authorization": "Bearer nonsense"}, bearer(uuid4()), bearer(user_id)):
        answer = await client.get("/api/story/stories", headers=headers)
        seen.append((answer.status_code, answer.json()["user_id"]))
    assert seen == [(200, None), (200, None), (200, None), (200, str(user_id))]


async def test_a_clerk_user_is_found_by_identity(
    make_settings: Callable[..., AppSettings], person: Person, sql: asyncpg.Connection
) -> None:
    clerk = ClerkStandIn()
    user_id = await person()
    subject = f"user_{user_id.hex[:10]}"
    settings = make_settings(
        clerk_issuer=clerk.issuer,
        clerk_jwt_key=clerk.pem,
        clerk_authorized_parties=("https://app.example",),
    )
    async with running(sample_app(settings)) as app, client_of(app) as client:
        headers = {"Authorization": f"Bearer {clerk.token(sub=subject)}"}
        unknown = await client.get("/api/auth/users/me", headers=headers)
        assert _error(unknown) == (403, "ACCOUNT_NOT_PROVISIONED")
        await sql.execute(
            "INSERT INTO auth_identities (provider, external_id, user_id) VALUES ('clerk', $1, $2)",
            subject,
            user_id,
        )
        known = await client.get("/api/auth/users/me", headers=headers)
        assert known.json() == {"user_id": str(user_id)}


async def test_a_missing_tier_is_402_read_uncached(
    client: httpx.AsyncClient, person: Person, bearer: Bearer, sql: asyncpg.Connection
) -> None:
    user_id = await person(tier=0)
    path, body = "/api/images/generate", {"message": "a cat"}
    refused = await client.post(path, json=body, headers=bearer(user_id))
    assert _error(refused) == (402, "INSUFFICIENT_TIER")
    assert refused.json()["error"]["details"] == {"current_tier": 0, "required_tier": 1}
    assert refused.json()["detail"] == {
        "code": "INSUFFICIENT_TIER",
        "message": refused.json()["error"]["message"],
        "current_tier": 0,
        "required_tier": 1,
    }
    await sql.execute(
        "INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id, tier,"
        " status) VALUES ($1, 'stripe', $2, 'price_pro', 1, 'active')",
        user_id,
        f"sub_{user_id}",
    )
    bought = await client.post(path, json=body, headers=bearer(user_id))
    assert bought.status_code == 201  # at once, although the tier 0 was cached a moment ago


async def test_a_cached_tier_admits_for_a_while_and_can_be_forgotten(
    app: FastAPI, client: httpx.AsyncClient, person: Person, bearer: Bearer, sql: asyncpg.Connection
) -> None:
    user_id = await person(tier=1)
    path, body = "/api/images/generate", {"message": "a cat"}
    assert (await client.post(path, json=body, headers=bearer(user_id))).status_code == 201
    await sql.execute("UPDATE subscriptions SET status = 'cancelled' WHERE user_id = $1", user_id)
    assert (await client.post(path, json=body, headers=bearer(user_id))).status_code == 201
    await app.state.platform.tiers.forget(user_id)
    gone = await client.post(path, json=body, headers=bearer(user_id))
    assert _error(gone) == (402, "INSUFFICIENT_TIER")


async def test_the_first_check_that_fails_is_reported(
    make_settings: Callable[..., AppSettings], person: Person, bearer: Bearer
) -> None:
    """One request that is wrong in every way, mended one check at a time."""
    limits = parse_rate_limits("generate=2")
    async with running(sample_app(make_settings(rate_limits=limits))) as app:
        modes = app.state.platform.maintenance
        user_id, tokenless = await person(tier=0), {"Content-Type": "text/plain"}
        path, key = "/api/images/generate", {"Idempotency-Key": "é".encode()}
        async with client_of(app) as client:
            modes.replace({"all": Mode("all", "full")})
            assert _error(await client.post(path, content=b"x"))[1] == "MAINTENANCE"
            assert _error(await client.get("/api/nothing"))[1] == "MAINTENANCE"
            modes.replace({})
            assert _error(await client.post(path, content=b"x"))[1] == "AUTH_REQUIRED"
            assert _error(await client.put(path))[1] == "METHOD_NOT_ALLOWED"
            headers = bearer(user_id) | tokenless
            assert _error(await client.post(path, content=b"x", headers=headers))[1] == (
                "INSUFFICIENT_TIER"
            )
            assert _error(await client.post(path, content=b"x", headers=headers))[1] == (
                "INSUFFICIENT_TIER"
            )
            assert _error(await client.post(path, content=b"x", headers=headers))[1] == (
                "RATE_LIMITED"
            )
            rich = bearer(await person(tier=1))
            assert (
                _error(await client.post(path, content=b"x", headers=rich | tokenless | key))[1]
                == "UNSUPPORTED_MEDIA_TYPE"
            )
            bad = await client.post(path, json={}, headers=rich | key)
            assert _error(bad)[1] == "VALIDATION_ERROR"
            richer = bearer(await person(tier=2))
            last = await client.post(path, json={"message": "a"}, headers=richer | key)
            assert _error(last)[1] == "MALFORMED_REQUEST"


async def test_fields_are_not_looked_at_before_the_token(client: httpx.AsyncClient) -> None:
    answer = await client.post(TALK, content=b"{", headers={"Content-Type": "application/json"})
    assert _error(answer) == (401, "AUTH_REQUIRED")
    assert (await client.get("/api/images/not-a-uuid")).status_code == 401


async def test_the_database_down_is_503_for_users_and_nothing_for_the_public(
    make_settings: Callable[..., AppSettings], bearer: Bearer
) -> None:
    settings = make_settings(
        shared_database_url="postgresql://nobody@127.0.0.1:1/none", rate_limits=RateLimits()
    )
    async with running(sample_app(settings)) as app, client_of(app) as client:
        refused = await client.get("/api/auth/users/me", headers=bearer(uuid4()))
        assert _error(refused) == (503, "UNAVAILABLE")
        details = refused.json()["error"]["details"]
        assert details == {"scope": "auth", "until": None, "retry_after": 5}
        assert refused.headers["retry-after"] == "5"
        assert "127.0.0.1" not in refused.text
        assert (await client.get("/api/search?q=a")).status_code == 200


async def test_an_account_seen_a_moment_ago_outlives_a_database_outage(
    app: FastAPI, client: httpx.AsyncClient, person: Person, bearer: Bearer
) -> None:
    user_id = await person()
    assert (await client.get("/api/auth/users/me", headers=bearer(user_id))).status_code == 200
    app.state.platform.pool.terminate()
    assert (await client.get("/api/auth/users/me", headers=bearer(user_id))).status_code == 200
    stranger = await client.get("/api/auth/users/me", headers=bearer(uuid4()))
    assert _error(stranger) == (503, "UNAVAILABLE")
