"""An account as its owner sees and changes it: profile, password, referrals, deletion."""

from __future__ import annotations

import time
import uuid
from typing import Any

import asyncpg
import httpx
import pytest

from tests.contracts.api.test_auth import CODE, ME, outbox, sign_up
from tests.support.people import People, bearer, error_code, signed, user_claims

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")


async def test_me_has_an_etag_of_the_latest_change(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    first = await ana.get(ME)
    tag = first.headers["etag"]
    moment = await database.fetchval(
        "SELECT greatest(u.updated_at, p.updated_at) FROM users u"
        " JOIN user_profiles p ON p.user_id = u.id WHERE u.id = $1",
        ana.id,
    )
    whole = int(moment.timestamp()) * 1_000_000 + moment.microsecond
    assert tag == f'W/"{whole}"'
    same = await ana.get(ME, headers={"If-None-Match": f'"x", {tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    await people.subscribe(ana.id, 2)
    changed = await ana.get(ME, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["tier"], changed.json()["premium"]) == (200, 2, 2)


async def test_details_change_only_what_was_sent(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    image = await ana.upload()
    body = {
        "avatar_media_id": image["id"],
        "country": "de",
        "birth_year": 1990,
        "preferences": {"theme": "dark", "list": [1, None]},
        "onboarding_status": "complete",
    }
    user = (await ana.put(f"{ME}/details", json=body)).json()
    assert user["name"] == "Ana"
    assert user["avatar_url"] == f"https://api.example.com/api/images/{image['id']}/content"
    assert (user["country"], user["birth_year"]) == ("DE", 1990)
    assert user["preferences"] == body["preferences"]
    assert user["onboarding_status"] == "complete"
    user = (await ana.put(f"{ME}/details", json={"avatar_media_id": None, "name": "B"})).json()
    assert (user["avatar_url"], user["name"], user["country"]) == (None, "B", "DE")
    changed = await database.fetchval("SELECT body FROM outbox ORDER BY id DESC LIMIT 1")
    assert '"changed": ["name", "avatar_media_id"]' in changed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"avatar_media_id": str(uuid.uuid4())}, "body.avatar_media_id"),
        ({"country": "DEU"}, "body.country"),
        ({"language": None}, "body.language"),
        ({"birth_year": 1899}, "body.birth_year"),
        ({"birth_year": 9000}, "body.birth_year"),
        ({"preferences": {"a": "x" * 8200}}, "body.preferences"),
        ({"onboarding_status": "done"}, "body.onboarding_status"),
    ],
)
async def test_wrong_details_are_named(people: People, body: dict[str, Any], field: str) -> None:
    answer = await (await people.new()).put(f"{ME}/details", json=body)
    assert answer.status_code == 422
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == [field]


async def test_another_persons_image_is_no_avatar(people: People) -> None:
    ana, ben = await people.new(), await people.new()
    image = await ben.upload()
    answer = await ana.put(f"{ME}/details", json={"avatar_media_id": image["id"]})
    assert answer.status_code == 422


async def test_a_new_password_ends_the_other_sessions(client: httpx.AsyncClient) -> None:
    first = await sign_up(client, "a@example.com", password="secret-word")
    login = {"email": "a@example.com", "password": "secret-word"}
    second = (await client.post("/api/auth/login", json=login)).json()
    headers = bearer(second["access_token"])
    await client.put(f"{ME}/details", json={"password": "brand-new-word"}, headers=headers)
    for session, status in ((first, 401), (second, 200)):
        body = {"refresh_token": session["refresh_token"]}
        assert (await client.post("/api/auth/refresh", json=body)).status_code == status
    assert (await client.post("/api/auth/login", json=login)).status_code == 401


async def test_a_deleted_account_is_gone_at_once_and_its_address_is_free(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    session = await sign_up(client, "a@example.com", name="Ana")
    headers = bearer(session["access_token"])
    assert (await client.delete(ME, headers=headers)).status_code == 204
    assert error_code(await client.delete(ME, headers=headers)) == "ACCOUNT_DELETED"
    assert error_code(await client.post("/api/auth/sync", headers=headers)) == "ACCOUNT_DELETED"
    body = {"refresh_token": session["refresh_token"]}
    assert (await client.post("/api/auth/refresh", json=body)).status_code == 401
    row = await database.fetchrow("SELECT * FROM users")
    assert (row["email"], row["password_hash"]) == (None, None)
    assert await database.fetchval("SELECT count(*) FROM user_profiles") == 0
    assert (await outbox(database))[-1] == "user.deleted"
    assert (await sign_up(client, "a@example.com"))["user"]["id"] != session["user"]["id"]


async def test_a_referral_counts_once_confirmed(
    client: httpx.AsyncClient, people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    referral = (await ana.get("/api/user_management/referral")).json()
    code = referral["referral_code"]
    assert referral["referral_link"] == f"https://example.com/r/{code}"
    body = {"email": "b@example.com", "referral_code": code.lower()}
    assert (await client.post("/api/auth/create-account", json=body)).status_code == 201
    counted = (await ana.get("/api/user_management/referral")).json()
    assert (counted["referred_count"], counted["confirmed_count"]) == (1, 0)
    await client.post("/api/auth/verify-otp", json={"email": "b@example.com", "code": CODE})
    counted = (await ana.get("/api/user_management/referral")).json()
    assert (counted["confirmed_count"], counted["bonus_earned"]) == (1, 5)
    assert await outbox(database) == ["user.created", "referral.confirmed", "user.logged_in"]


async def test_a_referral_can_be_applied_once_later(people: People) -> None:
    ana, ben = await people.new(), await people.new()
    code = (await ana.get("/api/user_management/referral")).json()["referral_code"]
    path = "/api/user_management/referral/apply"
    own = await ana.post(path, json={"code": code})
    assert [f["path"] for f in own.json()["error"]["details"]["fields"]] == ["body.code"]
    assert (await ben.post(path, json={"code": "NOTACODE"})).status_code == 404
    applied = await ben.post(path, json={"code": code.lower()})
    assert applied.json() == {"status": "applied", "bonus": 5}
    again = await ben.post(path, json={"code": code})
    assert (again.status_code, error_code(again)) == (409, "REFERRAL_ALREADY_APPLIED")


async def test_a_token_that_will_soon_expire_still_works(
    people: People, client: httpx.AsyncClient
) -> None:
    ana = await people.new()
    token = signed(user_claims(ana.id, exp=int(time.time()) - 5))
    assert (await client.get(ME, headers=bearer(token))).status_code == 200
