"""Idempotency-Key: one effect per key, whatever is repeated."""

from __future__ import annotations

import asyncio
import hashlib

import asyncpg
import pytest

from tests.support.people import PNG, People, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")

ROOMS = "/api/story/rooms"


async def test_a_repeated_request_answers_the_same_without_a_second_effect(
    people: People, database: asyncpg.Connection
) -> None:
    ana, ben = await people.new(), await people.new()
    key = {"Idempotency-Key": "a-key"}
    first = await ana.post(ROOMS, json={"name": "x"}, headers=key)
    again = await ana.post(ROOMS, json={"name": "x"}, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert (await ben.post(ROOMS, json={"name": "x"}, headers=key)).json() != first.json()
    assert await database.fetchval("SELECT count(*) FROM fandom_rooms") == 2
    assert await database.fetchval("SELECT count(*) FROM outbox") == 2


async def test_the_row_has_the_form_that_every_app_reads(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    body = b'{"name": "x"}'
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answer = await ana.post(ROOMS, content=body, headers=headers)
    row = await database.fetchrow("SELECT * FROM idempotency_keys")
    assert row["route"] == "community.room_create"
    assert row["request_hash"] == hashlib.sha256(b"POST\n/api/story/rooms\n" + body).hexdigest()
    assert (row["state"], row["status"], row["body"]) == ("completed", 201, answer.content)
    await ana.post(
        "/api/images/upload",
        files={"file": ("a.png", PNG)},
        data={"purpose": "chat"},
        headers={"Idempotency-Key": "form"},
    )
    lines = sorted(
        f"{name}:{hashlib.sha256(value).hexdigest()}"
        for name, value in (("file", PNG), ("purpose", b"chat"))
    )
    wanted = hashlib.sha256(("POST\n/api/images/upload\n" + "\n".join(lines)).encode()).hexdigest()
    stored = await database.fetchval("SELECT request_hash FROM idempotency_keys WHERE key = 'form'")
    assert stored == wanted


async def test_the_same_form_with_another_boundary_is_the_same_request(people: People) -> None:
    ana = await people.new()
    key = {"Idempotency-Key": "k"}
    first = await ana.post("/api/images/upload", files={"file": ("a.png", PNG)}, headers=key)
    again = await ana.post("/api/images/upload", files={"file": ("b.png", PNG)}, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


async def test_the_key_is_for_one_request_only(people: People) -> None:
    ana = await people.new()
    key = {"Idempotency-Key": "k"}
    await ana.post(ROOMS, json={"name": "x"}, headers=key)
    other = await ana.post(ROOMS, json={"name": "y"}, headers=key)
    assert (other.status_code, error_code(other)) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_key_of_other_characters_is_malformed(people: People) -> None:
    ana = await people.new()
    for key in ("", "a b", "x" * 256, b"\xc3\xa4"):
        answer = await ana.post(ROOMS, json={"name": "x"}, headers={"Idempotency-Key": key})
        assert (answer.status_code, error_code(answer)) == (400, "MALFORMED_REQUEST")


async def test_a_failure_frees_the_key(people: People, database: asyncpg.Connection) -> None:
    ana = await people.new()
    key = {"Idempotency-Key": "k"}
    body = {"message": "[[fail]]", "character": "Ana"}
    failed = await ana.post("/api/chat/talk_with", json=body, headers=key)
    assert (failed.status_code, error_code(failed)) == (502, "PROVIDER_ERROR")
    assert await database.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_while_the_first_runs_a_second_is_told_to_wait(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    key = {"Idempotency-Key": "k"}
    body = {"message": "[[slow]]", "character": "Ana"}
    running = asyncio.create_task(ana.post("/api/chat/talk_with", json=body, headers=key))
    while await database.fetchval("SELECT count(*) FROM idempotency_keys") == 0:
        await asyncio.sleep(0.02)
    second = await ana.post("/api/chat/talk_with", json=body, headers=key)
    assert (second.status_code, error_code(second)) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert second.headers["retry-after"] == "1"
    assert (await running).status_code == 200


async def test_a_lock_lapses_after_its_time(people: People, database: asyncpg.Connection) -> None:
    ana = await people.new()
    body = b'{"name": "x"}'
    await database.execute(
        "INSERT INTO idempotency_keys (user_id, route, key, request_hash, locked_until)"
        " VALUES ($1, 'community.room_create', 'k', $2, now() - interval '1 second')",
        ana.id,
        hashlib.sha256(b"POST\n/api/story/rooms\n" + body).hexdigest(),
    )
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answer = await ana.post(ROOMS, content=body, headers=headers)
    assert answer.status_code == 201
