"""What Clerk and Supabase say of a session beyond who it is, and what an app makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import httpx
import pytest
from jose import jwt
from pydantic import SecretStr

from shared.settings import AppSettings
from tests.integration.web.conftest import Person
from tests.support.issuers import ClerkStandIn, SupabaseStandIn
from tests.support.sample_service import client_of, running, sample_app

SUPABASE_SECRET = "supabase-secret-of-the-test-0123456789"
BODY = {"message": "a"}


@dataclass
class Outside:
    """An app that knows both issuers, and a user who has an identity at Clerk."""

    client: httpx.AsyncClient
    clerk: ClerkStandIn
    supabase: SupabaseStandIn
    user_id: UUID
    external: str

    async def by_clerk(self, method: str, path: str, **claims: object) -> httpx.Response:
        token = self.clerk.token(sub=self.external, **claims)
        return await self._ask(method, path, token)

    async def by_supabase(self, method: str, path: str, **claims: object) -> httpx.Response:
        made = self.supabase.claims(sub=str(self.user_id), **claims)
        return await self._ask(method, path, jwt.encode(made, SUPABASE_SECRET, "HS256"))

    async def _ask(self, method: str, path: str, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        body = None if method == "GET" else BODY
        return await self.client.request(method, path, json=body, headers=headers)


@pytest.fixture
async def outside(
    make_settings: Callable[..., AppSettings], person: Person, sql: asyncpg.Connection
) -> AsyncIterator[Outside]:
    clerk, supabase = ClerkStandIn(), SupabaseStandIn()
    user_id = await person(tier=1)
    external = f"user_{user_id.hex}"
    await sql.execute(
        "INSERT INTO auth_identities (user_id, provider, external_id) VALUES ($1, 'clerk', $2)",
        user_id,
        external,
    )
    settings = make_settings(
        clerk_issuer=clerk.issuer,
        clerk_jwt_key=SecretStr(clerk.pem),
        clerk_authorized_parties=("https://app.example",),
        supabase_url=supabase.url,
        supabase_jwt_secrets=(SecretStr(SUPABASE_SECRET),),
    )
    async with running(sample_app(settings)) as app, client_of(app) as client:
        yield Outside(client, clerk, supabase, user_id, external)


async def test_an_outside_identity_is_our_user(outside: Outside) -> None:
    found = await outside.by_clerk("GET", "/api/auth/users/me")
    assert (found.status_code, found.json()["user_id"]) == (200, str(outside.user_id))


async def test_support_in_a_users_name_may_look_but_not_pay(outside: Outside) -> None:
    acting = {"act": {"sub": "user_of_support"}}
    looked = await outside.by_clerk("GET", "/api/auth/users/me", **acting)
    talked = await outside.by_clerk("POST", "/api/chat/talk_with", **acting)
    paid = await outside.by_clerk("POST", "/api/payments/billing-portal", **acting)
    assert [a.status_code for a in (looked, talked, paid)] == [200, 200, 403]
    assert paid.json()["error"]["code"] == "FORBIDDEN"
    own = await outside.by_clerk("POST", "/api/payments/billing-portal")
    assert own.status_code == 200


async def test_an_anonymous_session_has_no_paid_features(outside: Outside) -> None:
    own = await outside.by_supabase("POST", "/api/images/generate")
    guest = await outside.by_supabase("POST", "/api/images/generate", is_anonymous=True)
    free = await outside.by_supabase("GET", "/api/auth/users/me", is_anonymous=True)
    assert [a.status_code for a in (own, guest, free)] == [201, 402, 200]
    assert guest.json()["error"]["code"] == "INSUFFICIENT_TIER"


async def test_a_second_factor_can_be_asked_for(outside: Outside) -> None:
    one = await outside.by_supabase("POST", "/api/auth/logout", aal="aal1")
    two = await outside.by_supabase("POST", "/api/auth/logout", aal="aal2")
    assert [a.status_code for a in (one, two)] == [403, 204]
