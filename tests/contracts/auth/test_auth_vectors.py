"""One file of token vectors against everything that verifies tokens: they must all agree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from migrate.commands.db_migrate import prepare_store
from shared.auth.claims import ClaimRules
from shared.auth.issuers import LEEWAY_SECONDS, clerk_issuer, supabase_issuer
from shared.auth.key_sources import FixedKeys, PublishedKeys
from shared.auth.keys import hmac_key
from shared.auth.verifier import Issuer, TokenVerifier
from shared.contract.routes import PublicRoute
from shared.errors import CallerError
from shared.ratelimit.buckets import parse_rate_limits
from shared.settings import AppSettings
from tests.contracts.auth.apps import (
    MANIFEST,
    Place,
    monolith_app,
    present_services,
    probe_of,
    ready,
    routed,
    service_app,
)
from tests.support.auth_vectors import (
    CLERK_ISSUER,
    ISSUER,
    PARTY,
    SECRETS,
    SUPABASE_URL,
    Vector,
    key_set,
    vectors,
)
from tests.support.sample_service import sample_app, user_row

#: The library judges at a fixed moment, so that a slow machine changes nothing.
NOW = 1_800_000_000


async def _published(_url: str) -> bytes:
    return json.dumps(key_set()).encode()


def _verifier(issuer_name: str | None) -> TokenVerifier:
    secrets = [hmac_key(SECRETS[name].decode()) for name in ("secret", "second")]
    local = Issuer(ClaimRules("local", issuer_name, LEEWAY_SECONDS), {"HS256": FixedKeys(secrets)})
    supabase = supabase_issuer(
        SUPABASE_URL,
        (SecretStr(SECRETS["legacy"].decode()),),
        PublishedKeys(
            f"{SUPABASE_URL}/jwks", algorithms=frozenset({"ES256", "RS256"}), fetch=_published
        ),
    )
    clerk = clerk_issuer(
        CLERK_ISSUER,
        frozenset({PARTY}),
        source=PublishedKeys(
            f"{CLERK_ISSUER}/jwks", algorithms=frozenset({"RS256"}), fetch=_published
        ),
    )
    return TokenVerifier([local, supabase, clerk], clock=lambda: NOW)


async def _outcome(verifier: TokenVerifier, token: str) -> tuple[str, UUID | None]:
    try:
        principal = await verifier.verify(token)
    except CallerError as error:
        return error.code.value, None
    return ("user" if principal.is_user else "service"), principal.user_id


@pytest.mark.parametrize(
    "vector",
    vectors("local", "named", "supabase", "clerk"),
    ids=lambda vector: f"{vector.group}: {vector.name}",
)
async def test_the_library_decides_as_the_vectors_say(vector: Vector) -> None:
    user_id = uuid4()
    # Tokens of Supabase and Clerk must not slip through as local ones, whether that has a name or not.
    for name in (
        (None, ISSUER)
        if vector.group in ("supabase", "clerk")
        else ((ISSUER,) if vector.group == "named" else (None,))
    ):
        verifier = _verifier(name)
        token = vector.token(user_id, NOW)
        outcome, found = await _outcome(verifier, token)
        assert outcome == vector.expect
        if outcome == "user":
            assert found == (None if vector.group == "clerk" else user_id)
        again, _ = await _outcome(verifier, token)  # from the cache, if it was good
        assert again == vector.expect


def _expected(vector: Vector, route: PublicRoute) -> str:
    """Status and code. On a public route a token that is bad means an anonymous viewer, no more."""
    if route.auth == "public" or vector.expect == "user":
        return "200"
    return "403 FORBIDDEN" if vector.expect == "service" else f"401 {vector.expect}"


async def _decision(client: httpx.AsyncClient, route: PublicRoute, token: str) -> str:
    """Status, and code of an error."""
    answer = await client.get(
        route.path,
        headers=[(b"Authorization", f"Bearer {token}".encode()), (b"X-Real-IP", b"203.0.113.8")],
    )
    code = "" if answer.status_code == 200 else f" {answer.json()['error']['code']}"
    return f"{answer.status_code}{code}"


async def _disagreements(
    client: httpx.AsyncClient, user_id: UUID, group: str, routes: Sequence[PublicRoute]
) -> dict[str, tuple[str, str]]:
    """Vectors that an app decides otherwise: name to (expected, found)."""

    async def found_wrong(vector: Vector, route: PublicRoute) -> tuple[str, str] | None:
        expected = _expected(vector, route)
        found = await _decision(client, route, vector.token(user_id))
        if found != expected:  # some are a second from their limit: a stall is no verdict
            found = await _decision(client, route, vector.token(user_id))
        return None if found == expected else (expected, found)

    wrong = {}
    for vector in vectors(group):
        verdicts = await asyncio.gather(*(found_wrong(vector, route) for route in routes))
        for route, verdict in zip(routes, verdicts, strict=True):
            if verdict is not None:
                wrong[f"{route.name}, {group}: {vector.name}"] = verdict
    return wrong


@pytest.fixture
def place(platform_dsn: str, redis_url: str, rabbitmq_url: str, tmp_path: Path) -> Place:
    secrets = tuple(SECRETS[name].decode() for name in ("secret", "second"))
    return Place(platform_dsn, redis_url, rabbitmq_url, tmp_path, secrets, None)


@pytest.fixture
async def user_id(platform_dsn: str) -> UUID:
    """Somebody with an account."""
    made = uuid4()
    connection = await asyncpg.connect(platform_dsn)
    await connection.execute(
        "INSERT INTO users (id, email, referral_code, confirmed) VALUES ($1, $2, $3, true)",
        *user_row(made),
    )
    await connection.execute("INSERT INTO user_profiles (user_id) VALUES ($1)", made)
    await connection.close()
    return made


def _app(name: str, place: Place) -> FastAPI:
    if name == "monolith":
        return monolith_app(place)
    if name == "sample":
        return sample_app(
            AppSettings(
                shared_database_url=SecretStr(place.database_url),
                redis_url=SecretStr(place.redis_url),
                rabbitmq_url=SecretStr(place.rabbitmq_url),
                jwt_secrets=tuple(SecretStr(secret) for secret in place.secrets),
                jwt_issuer=place.issuer,
                rate_limits=parse_rate_limits("off"),
            )
        )
    return service_app(name, place)


def test_every_service_of_the_manifest_is_held_against_the_vectors() -> None:
    assert set(present_services()) == set(MANIFEST.services)


@pytest.mark.parametrize(("issuer", "group"), [(None, "local"), (ISSUER, "named")])
@pytest.mark.parametrize("name", ["sample", "monolith", *present_services()])
async def test_every_app_decides_as_the_vectors_say(
    name: str, issuer: str | None, group: str, place: Place, user_id: UUID
) -> None:
    routes = [probe_of("auth" if name in ("sample", "monolith") else name)]
    async with ready(_app(name, replace(place, issuer=issuer))) as client:
        assert await _disagreements(client, user_id, group, routes) == {}


@pytest.mark.parametrize(("issuer", "group"), [(None, "local"), (ISSUER, "named")])
async def test_nothing_changes_behind_the_router_whichever_side_answers(
    issuer: str | None, group: str, place: Place, user_id: UUID
) -> None:
    there = replace(place, issuer=issuer)
    await prepare_store(there.database_url, MANIFEST, actor="tests")
    apps = {name: _app(name, there) for name in ("monolith", *present_services())}
    every = [probe_of(service) for service in MANIFEST.services]
    async with (
        routed(apps, there) as router,
        httpx.AsyncClient(base_url=router.url, trust_env=False, timeout=30.0) as client,
    ):
        for percent, routes in ((0.0, every[:1]), (100.0, every)):
            await router.send_everything(percent)
            wrong = await _disagreements(client, user_id, group, routes)
            assert (percent, wrong) == (percent, {})
