"""One file of token vectors against everything that verifies tokens: they must all agree."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from monolith.app import build_app
from monolith.settings import Settings as MonolithSettings
from shared.auth.claims import ClaimRules
from shared.auth.issuers import LEEWAY_SECONDS, clerk_issuer, supabase_issuer
from shared.auth.key_sources import FixedKeys, PublishedKeys
from shared.auth.keys import hmac_key
from shared.auth.verifier import Issuer, TokenVerifier
from shared.errors import CallerError
from shared.ratelimit.buckets import parse_rate_limits
from shared.settings import AppSettings
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
from tests.support.sample_service import client_of, running, sample_app, user_row

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


async def _disagreements(
    client: httpx.AsyncClient, user_id: UUID, groups: tuple[str, ...]
) -> dict[str, tuple[str, str]]:
    """Vectors that an app decides otherwise: name to (expected, found)."""
    wrong = {}
    for vector in vectors(*groups):
        expected = {"user": "200", "service": "403 FORBIDDEN"}.get(
            vector.expect, f"401 {vector.expect}"
        )
        found = await _decision(client, vector.token(user_id))
        if found != expected:  # some vectors are a second from their limit: a stall is no verdict
            found = await _decision(client, vector.token(user_id))
        if found != expected:
            wrong[f"{vector.group}: {vector.name}"] = (expected, found)
    return wrong


async def _decision(client: httpx.AsyncClient, token: str) -> str:
    """Status, and code of an error."""
    answer = await client.get(
        "/api/auth/users/me",
        headers=[(b"Authorization", f"Bearer {token}".encode()), (b"X-Real-IP", b"203.0.113.8")],
    )
    code = "" if answer.status_code == 200 else f" {answer.json()['error']['code']}"
    return f"{answer.status_code}{code}"


@pytest.mark.parametrize(("issuer", "group"), [(None, "local"), (ISSUER, "named")])
@pytest.mark.parametrize("app_name", ["sample", "monolith"])
async def test_every_app_decides_as_the_vectors_say(
    app_name: str,
    issuer: str | None,
    group: str,
    database_with_schema: str,
    redis_url: str,
    rabbitmq_url: str,
) -> None:
    secrets = tuple(SECRETS[name].decode() for name in ("secret", "second"))
    if app_name == "monolith":
        app = build_app(
            MonolithSettings(
                database_url=database_with_schema,
                jwt_secrets=secrets,
                jwt_issuer=issuer,
                rate_limits={},
            )
        )
    else:
        app = sample_app(
            AppSettings(
                shared_database_url=SecretStr(database_with_schema),
                redis_url=SecretStr(redis_url),
                rabbitmq_url=SecretStr(rabbitmq_url),
                jwt_secrets=tuple(SecretStr(secret) for secret in secrets),
                jwt_issuer=issuer,
                rate_limits=parse_rate_limits("off"),
            )
        )
    user_id = uuid4()
    connection = await asyncpg.connect(database_with_schema)
    await connection.execute(
        "INSERT INTO users (id, email, referral_code, confirmed) VALUES ($1, $2, $3, true)",
        *user_row(user_id),
    )
    await connection.execute("INSERT INTO user_profiles (user_id) VALUES ($1)", user_id)
    await connection.close()
    async with running(app), client_of(app) as client:
        assert await _disagreements(client, user_id, (group,)) == {}
