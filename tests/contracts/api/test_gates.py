"""The checks before a handler, in their order: token, role, rate, tier, body, fields."""

from __future__ import annotations

import asyncio
import time
import uuid

import asyncpg
import httpx
import pytest

from tests.contracts.api.sides import Side
from tests.support.people import (
    People,
    bearer,
    error_code,
    service_headers,
    signed,
    user_claims,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

ME = "/api/auth/users/me"


async def test_a_missing_or_foreign_authorization_asks_for_one(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Basic abc"}):
        answer = await client.get(ME, headers=headers)
        assert (answer.status_code, error_code(answer)) == (401, "AUTH_REQUIRED")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_bad_and_expired_tokens_are_told_apart(client: httpx.AsyncClient) -> None:
    user = str(uuid.uuid4())
    for token in ("nonsense", "", signed(user_claims(user), "x" * 40)):
        assert error_code(await client.get(ME, headers=bearer(token))) == "TOKEN_INVALID"
    old = signed(user_claims(user, exp=int(time.time()) - 60))
    assert error_code(await client.get(ME, headers=bearer(old))) == "TOKEN_EXPIRED"


async def test_the_scheme_is_case_insensitive(people: People) -> None:
    ana = await people.new()
    token = ana.headers["Authorization"].removeprefix("Bearer ")
    assert (await ana.get(ME, headers={"Authorization": f"bEaReR {token}"})).status_code == 200


async def test_an_account_must_be_there_and_not_deleted(
    client: httpx.AsyncClient, people: People, database: asyncpg.Connection
) -> None:
    stranger = bearer(signed(user_claims(str(uuid.uuid4()))))
    answer = await client.get(ME, headers=stranger)
    assert (answer.status_code, error_code(answer)) == (403, "ACCOUNT_NOT_PROVISIONED")
    ana = await people.new()
    await database.execute("UPDATE users SET deleted_at = now() WHERE id = $1", ana.id)
    answer = await ana.get(ME)
    assert (answer.status_code, error_code(answer)) == (401, "ACCOUNT_DELETED")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_people_and_services_have_their_own_routes(
    client: httpx.AsyncClient, people: People
) -> None:
    ana = await people.new()
    path = "/api/analytics/platform?from=2025-01-01&to=2025-01-02"
    answer = await ana.get(path)
    assert (answer.status_code, error_code(answer)) == (403, "FORBIDDEN")
    assert (await client.get(path, headers=service_headers())).status_code == 200
    assert error_code(await client.get(ME, headers=service_headers())) == "FORBIDDEN"


async def test_public_routes_take_a_bad_token_for_an_anonymous_viewer(
    client: httpx.AsyncClient,
) -> None:
    for headers in (bearer("nonsense"), bearer(signed(user_claims(str(uuid.uuid4()))))):
        answer = await client.get("/api/story/stories?mine=true", headers=headers)
        assert (answer.status_code, answer.json()["items"]) == (200, [])


async def test_fields_are_not_looked_at_before_the_token(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/chat/talk_with", content="{", headers={"content-type": "x/y"})
    assert error_code(answer) == "AUTH_REQUIRED"
    assert error_code(await client.get("/api/chat/conversations/nonsense/messages")) == (
        "AUTH_REQUIRED"
    )


async def test_the_tier_comes_before_the_body(people: People) -> None:
    ana = await people.new()
    answer = await ana.post("/api/images/generate", content="{", headers={"content-type": "x/y"})
    assert (answer.status_code, error_code(answer)) == (402, "INSUFFICIENT_TIER")
    assert answer.json()["error"]["details"] == {"current_tier": 0, "required_tier": 1}


async def test_type_size_json_and_fields_are_refused_in_this_order(people: People) -> None:
    ana = await people.new()
    path, json_type = "/api/chat/group", {"content-type": "application/json"}
    huge = b'"' + b"x" * (256 * 1024) + b'"'
    wrong = await ana.post(path, content=huge, headers={"content-type": "text/plain"})
    assert (wrong.status_code, error_code(wrong)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert wrong.json()["error"]["details"] == {"allowed": ["application/json"]}
    large = await ana.post(path, content=huge, headers=json_type)
    assert (large.status_code, error_code(large)) == (413, "PAYLOAD_TOO_LARGE")
    assert large.json()["error"]["details"] == {"limit_bytes": 262144}
    for text in ("{", '{"a": NaN}', b"\xff", "[" * 100_000):
        broken = await ana.post(path, content=text, headers=json_type)
        assert (broken.status_code, error_code(broken)) == (400, "MALFORMED_REQUEST")
    missing = await ana.post(path)
    assert (missing.status_code, error_code(missing)) == (422, "VALIDATION_ERROR")
    assert [f["path"] for f in missing.json()["error"]["details"]["fields"]] == [
        "body.participants"
    ]
    listed = await ana.post(path, json=[])
    assert [f["path"] for f in listed.json()["error"]["details"]["fields"]] == ["body"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/chat/conversations/nonsense/messages", "path.conversation_id"),
        ("/api/chat/conversations?limit=0", "query.limit"),
        ("/api/chat/conversations?limit=1.5", "query.limit"),
        ("/api/chat/conversations?type=trio", "query.type"),
        ("/api/images/0B8E0AD66C1D4F3A9F0E6F2D6A1C7F10", "path.media_id"),
    ],
)
async def test_a_wrong_parameter_is_named_by_its_place(
    people: People, path: str, field: str
) -> None:
    answer = await (await people.new()).get(path)
    assert (answer.status_code, error_code(answer)) == (422, "VALIDATION_ERROR")
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == [field]


async def test_unknown_fields_and_parameters_are_ignored_and_digits_may_be_text(
    people: People,
) -> None:
    ana = await people.new()
    body = {"name": " Room ", "settings": {"max_members": "7", "x": 1}, "unknown": None}
    room = await ana.post("/api/story/rooms?unknown=1", json=body)
    assert room.status_code == 201
    assert (room.json()["name"], room.json()["settings"]["max_members"]) == ("Room", 7)


async def test_the_character_nul_is_a_wrong_field(people: People) -> None:
    ana = await people.new()
    json_type = {"content-type": "application/json"}
    room = await ana.post("/api/story/rooms", content='{"name": "a\\u0000b"}', headers=json_type)
    text = '{"preferences": {"a": "\\u0000"}}'
    details = await ana.put(f"{ME}/details", content=text, headers=json_type)
    for answer in (room, details):
        assert (answer.status_code, error_code(answer)) == (422, "VALIDATION_ERROR")


async def test_half_a_character_is_refused_as_a_field_or_with_the_whole_body(
    people: People,
) -> None:
    ana = await people.new()
    json_type = {"content-type": "application/json"}
    room = await ana.post("/api/story/rooms", content='{"name": "\\ud800"}', headers=json_type)
    text = '{"preferences": {"\\ud800": 1}}'
    details = await ana.put(f"{ME}/details", content=text, headers=json_type)
    for answer in (room, details):
        assert error_code(answer) in ("VALIDATION_ERROR", "MALFORMED_REQUEST")


async def test_a_bucket_counts_per_user_and_tells_what_is_left(
    side: Side, database: asyncpg.Connection
) -> None:
    async with side.running(rate_limits={"default": 2, "public": 2}) as apps:
        people = People(apps.client, database)
        ana, ben = await people.new(), await people.new()
        while time.time() % 60 > 57:  # all requests must fall into one window
            await asyncio.sleep(0.2)
        first = await ana.get(ME)
        assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == (
            "2",
            "1",
        )
        assert int(first.headers["x-ratelimit-reset"]) % 60 == 0
        bad = await ana.get("/api/chat/conversations?limit=0")
        assert (bad.status_code, bad.headers["x-ratelimit-remaining"]) == (422, "0")
        refused = await ana.get(ME)
        assert (refused.status_code, error_code(refused)) == (429, "RATE_LIMITED")
        details = refused.json()["error"]["details"]
        assert details["bucket"] == "default"
        assert refused.headers["retry-after"] == str(details["retry_after"])
        assert refused.headers["x-ratelimit-remaining"] == "0"
        copied = await ana.get(ME, headers={"X-Shadow": "1"})
        assert copied.status_code == 200
        assert "x-ratelimit-limit" not in copied.headers
        assert (await ben.get(ME)).status_code == 200


async def test_a_copy_of_a_write_changes_nothing(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await ana.post("/api/story/rooms", json={"name": "x"}, headers={"X-Shadow": "1"})
    assert await database.fetchval("SELECT count(*) FROM fandom_rooms") == 0
    assert await database.fetchval("SELECT count(*) FROM outbox") == 0
