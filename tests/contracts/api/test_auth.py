"""Accounts and sessions, from sign-up to deletion."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Any

import asyncpg
import httpx
import pytest
from jose import jwt

from tests.support.people import (
    SECRET,
    bearer,
    error_code,
    signed,
    user_claims,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")

ME = "/api/auth/users/me"
CODE = "000000"


async def sign_up(client: httpx.AsyncClient, email: str, **more: Any) -> Any:
    made = await client.post("/api/auth/create-account", json={"email": email, **more})
    assert made.status_code == 201, made.text
    answer = await client.post("/api/auth/verify-otp", json={"email": email, "code": CODE})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def outbox(database: asyncpg.Connection) -> list[str]:
    rows = await database.fetch("SELECT type FROM outbox ORDER BY id")
    return [row["type"] for row in rows]


async def test_sign_up_confirms_by_code_and_opens_a_session(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    body = {"email": " Ana@Example.com ", "password": "secret-word", "name": "Ana"}
    made = await client.post("/api/auth/create-account", json=body)
    assert made.status_code == 201
    assert made.json()["status"] == "otp_sent"
    assert made.json()["email"] == "Ana@Example.com"
    assert await outbox(database) == []
    stored = await database.fetchrow("SELECT id, code_hash FROM otp_codes")
    assert stored["code_hash"] == hashlib.sha256(f"{stored['id']}:{CODE}".encode()).hexdigest()

    session = (
        await client.post("/api/auth/verify-otp", json={"email": "ana@example.com", "code": CODE})
    ).json()
    assert session["token_type"] == "bearer"
    assert session["expires_in"] == 3600
    assert len(session["refresh_token"]) == 43
    assert session["user"]["confirmed"] is True
    assert session["user"]["name"] == "Ana"
    claims = jwt.decode(session["access_token"], SECRET, audience="authenticated")
    assert claims["iss"] == "https://api.example.com"
    assert claims["role"] == "authenticated"
    assert claims["app_metadata"] == {"tier": 0, "provider": "email"}
    assert claims["exp"] == session["expires_at"]
    assert await outbox(database) == ["user.created", "user.logged_in"]
    kept = await database.fetchval("SELECT token_hash FROM refresh_tokens")
    assert kept == hashlib.sha256(session["refresh_token"].encode()).hexdigest()


async def test_a_confirmed_address_is_taken_and_an_unconfirmed_one_starts_again(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    first = await client.post("/api/auth/create-account", json={"email": "a@example.com"})
    again = await client.post("/api/auth/create-account", json={"email": "A@example.com"})
    assert again.json()["user_id"] == first.json()["user_id"]
    assert await database.fetchval("SELECT count(*) FROM otp_codes WHERE used_at IS NULL") == 1
    await client.post("/api/auth/verify-otp", json={"email": "a@example.com", "code": CODE})
    taken = await client.post("/api/auth/create-account", json={"email": "a@example.com"})
    assert (taken.status_code, error_code(taken)) == (409, "EMAIL_TAKEN")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.email"),
        ({"email": "a@b@c"}, "body.email"),
        ({"email": "nobody"}, "body.email"),
        ({"email": "a@example.com", "password": "short"}, "body.password"),
        ({"email": "a@example.com", "name": "x" * 81}, "body.name"),
        ({"email": "a@example.com", "referral_code": "AAAAAAAA"}, "body.referral_code"),
    ],
)
async def test_wrong_fields_of_a_sign_up_are_named(
    client: httpx.AsyncClient, body: dict[str, str], field: str
) -> None:
    answer = await client.post("/api/auth/create-account", json=body)
    assert answer.status_code == 422
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == [field]


async def test_five_wrong_tries_kill_a_code(client: httpx.AsyncClient) -> None:
    await client.post("/api/auth/create-account", json={"email": "a@example.com"})
    for code in ("111111",) * 5 + (CODE,):
        body = {"email": "a@example.com", "code": code}
        answer = await client.post("/api/auth/verify-otp", json=body)
        assert (answer.status_code, error_code(answer)) == (401, "OTP_INVALID")


async def test_a_code_works_once_and_only_in_time(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    body = {"email": "a@example.com", "code": CODE}
    await sign_up(client, "a@example.com")
    assert error_code(await client.post("/api/auth/verify-otp", json=body)) == "OTP_INVALID"
    await client.post("/api/auth/login", json={"email": "a@example.com"})
    await database.execute("UPDATE otp_codes SET expires_at = now() WHERE used_at IS NULL")
    assert error_code(await client.post("/api/auth/verify-otp", json=body)) == "OTP_INVALID"


async def test_a_password_opens_a_session_once_the_address_is_confirmed(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    body = {"email": "a@example.com", "password": "secret-word"}
    await client.post("/api/auth/create-account", json=body)
    stored = await database.fetchval("SELECT password_hash FROM users")
    assert stored.startswith("scrypt$14$8$1$")
    early = await client.post("/api/auth/login", json=body)
    assert (early.status_code, error_code(early)) == (403, "ACCOUNT_NOT_CONFIRMED")
    await client.post("/api/auth/verify-otp", json={"email": "a@example.com", "code": CODE})
    assert (await client.post("/api/auth/login", json=body)).status_code == 200
    for wrong in ({**body, "password": "other-word"}, {**body, "email": "b@example.com"}):
        answer = await client.post("/api/auth/login", json=wrong)
        assert (answer.status_code, error_code(answer)) == (401, "CREDENTIALS_INVALID")


async def test_login_without_a_password_tells_nobody_which_accounts_exist(
    client: httpx.AsyncClient,
) -> None:
    await sign_up(client, "a@example.com")
    for email in ("a@example.com", "nobody@example.com"):
        answer = await client.post("/api/auth/login", json={"email": email})
        assert answer.status_code == 202
        assert set(answer.json()) == {"status", "otp_expires_at"}
    body = {"email": "a@example.com", "code": CODE}
    assert (await client.post("/api/auth/verify-otp", json=body)).status_code == 200


async def test_a_refresh_token_is_spent_and_an_old_one_revokes_its_family(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    async def refresh(token: str) -> httpx.Response:
        return await client.post("/api/auth/refresh", json={"refresh_token": token})

    first = (await sign_up(client, "a@example.com"))["refresh_token"]
    second = (await refresh(first)).json()["refresh_token"]
    assert (await refresh(first)).status_code == 200  # the answer may have been lost
    await database.execute("UPDATE refresh_tokens SET rotated_at = now() - interval '11 seconds'")
    await database.execute(
        "UPDATE refresh_tokens SET rotated_at = NULL WHERE token_hash = $1",
        hashlib.sha256(second.encode()).hexdigest(),
    )
    replayed = await refresh(first)
    assert (replayed.status_code, error_code(replayed)) == (401, "TOKEN_INVALID")
    assert error_code(await refresh(second)) == "TOKEN_INVALID"
    assert error_code(await refresh("nonsense")) == "TOKEN_INVALID"


async def test_logout_revokes_one_family_or_all(client: httpx.AsyncClient) -> None:
    first = await sign_up(client, "a@example.com", password="secret-word")
    login = {"email": "a@example.com", "password": "secret-word"}
    second = (await client.post("/api/auth/login", json=login)).json()
    third = (await client.post("/api/auth/login", json=login)).json()
    headers = bearer(first["access_token"])
    body = {"refresh_token": second["refresh_token"]}
    assert (await client.post("/api/auth/logout", json=body, headers=headers)).status_code == 204
    statuses = [
        (
            await client.post("/api/auth/refresh", json={"refresh_token": s["refresh_token"]})
        ).status_code
        for s in (second, third)
    ]
    assert statuses == [401, 200]
    assert (await client.post("/api/auth/logout", headers=headers)).status_code == 204
    body = {"refresh_token": first["refresh_token"]}
    assert (await client.post("/api/auth/refresh", json=body)).status_code == 401


async def test_oauth_makes_or_links_an_account(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    async def oauth(**claims: Any) -> httpx.Response:
        body = {"id_token": signed(claims)}
        return await client.post("/api/auth/oauth/google", json=body)

    made = (await oauth(sub="g-1", email="g@example.com", name="Gil")).json()
    assert (made["created"], made["user"]["name"]) == (True, "Gil")
    assert (await oauth(sub="g-1", email="other@example.com")).json()["created"] is False
    known = await sign_up(client, "a@example.com")
    linked = (await oauth(sub="g-2", email="A@example.com")).json()
    assert (linked["created"], linked["user"]["id"]) == (False, known["user"]["id"])
    assert await database.fetchval("SELECT count(*) FROM auth_identities") == 2
    for bad in ("nonsense", signed({"sub": "x", "email": "x@example.com"}, "y" * 40)):
        answer = await client.post("/api/auth/oauth/google", json={"id_token": bad})
        assert error_code(answer) == "CREDENTIALS_INVALID"
    unknown = await client.post("/api/auth/oauth/myspace", json={"id_token": "x"})
    assert [f["path"] for f in unknown.json()["error"]["details"]["fields"]] == ["path.provider"]


async def test_oauth_takes_an_unproven_account_from_whoever_typed_its_address(
    client: httpx.AsyncClient,
) -> None:
    body = {"email": "a@example.com", "password": "attackers-word"}
    await client.post("/api/auth/create-account", json=body)
    token = signed({"sub": "g-1", "email": "a@example.com"})
    answer = await client.post("/api/auth/oauth/google", json={"id_token": token})
    assert answer.json()["user"]["confirmed"] is True
    assert error_code(await client.post("/api/auth/login", json=body)) == "CREDENTIALS_INVALID"


async def test_sync_makes_the_row_of_an_outside_user_and_follows_changes(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    user = str(uuid.uuid4())

    async def sync(**claims: Any) -> httpx.Response:
        token = signed(user_claims(user, **claims))
        return await client.post("/api/auth/sync", headers=bearer(token))

    first = await sync(email="s@example.com", user_metadata={"name": "Sam"})
    assert first.json()["created"] is True
    assert first.json()["user"]["id"] == user
    again = await sync(email="s@example.com", user_metadata={"name": "Sam"})
    assert again.json()["created"] is False
    renamed = await sync(email="t@example.com", user_metadata={"name": "Tam"})
    assert (renamed.json()["user"]["email"], renamed.json()["user"]["name"]) == (
        "t@example.com",
        "Tam",
    )
    assert await outbox(database) == ["user.created", "user.updated"]
    other = signed(user_claims(str(uuid.uuid4()), email="T@example.com"))
    taken = await client.post("/api/auth/sync", headers=bearer(other))
    assert (taken.status_code, error_code(taken)) == (409, "EMAIL_TAKEN")


async def test_many_clients_may_sync_a_new_user_at_once(client: httpx.AsyncClient) -> None:
    headers = bearer(signed(user_claims(str(uuid.uuid4()), email="s@example.com")))
    answers = await asyncio.gather(
        *(client.post("/api/auth/sync", headers=headers) for _ in range(5))
    )
    assert sorted(a.json().get("created", a.text) for a in answers) == [False] * 4 + [True]
