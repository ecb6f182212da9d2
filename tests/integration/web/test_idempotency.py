"""Idempotency keys over the shared table (contract, 1.9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from shared.errors import CallerError
from shared.idempotency.fingerprint import form_digest, request_hash
from shared.idempotency.store import Claim, IdempotencyStore, StoredAnswer
from shared.settings import AppSettings
from tests.integration.web.conftest import Person
from tests.support.sample_service import client_of, running, sample_app

Bearer = Callable[[UUID], dict[str, str]]
TALK = "/api/chat/talk_with"
KEY = {"Idempotency-Key": "key-1"}


@pytest.fixture
async def headers(person: Person, bearer: Bearer) -> dict[str, str]:
    return bearer(await person())


def _error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_the_same_key_gives_the_same_answer_and_one_effect(
    client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    first = await client.post(TALK, json={"message": "hi"}, headers=headers | KEY)
    again = await client.post(TALK, json={"message": "hi"}, headers=headers | KEY)
    assert calls == ["talk"]
    assert again.content == first.content
    assert again.status_code == first.status_code
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


async def test_another_request_under_the_key_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    await client.post(TALK, json={"message": "hi"}, headers=headers | KEY)
    other = await client.post(TALK, json={"message": "ho"}, headers=headers | KEY)
    assert _error(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert calls == ["talk"]


async def test_many_requests_at_once_on_two_apps_have_one_effect(
    make_settings: Callable[..., AppSettings], headers: dict[str, str]
) -> None:
    calls: list[str] = []
    body = {"message": "hi", "mode": "slow"}
    async with (
        running(sample_app(make_settings(), calls)) as one,
        running(sample_app(make_settings(), calls)) as other,
        client_of(one) as first,
        client_of(other) as second,
    ):
        answers = await asyncio.gather(
            *(client.post(TALK, json=body, headers=headers | KEY) for client in (first, second) * 5)
        )
        assert calls == ["talk"]
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] + [409] * 9
        busy = next(answer for answer in answers if answer.status_code == 409)
        assert _error(busy) == (409, "IDEMPOTENCY_IN_PROGRESS")
        assert busy.headers["retry-after"] == "1"
        late = await second.post(TALK, json=body, headers=headers | KEY)
        assert (late.status_code, late.headers["idempotency-replayed"]) == (200, "true")
    assert calls == ["talk"]


@pytest.mark.parametrize(("mode", "status"), [("fail", 500), ("quota", 402)])
async def test_a_failure_frees_the_key(
    client: httpx.AsyncClient, headers: dict[str, str], calls: list[str], mode: str, status: int
) -> None:
    for _ in range(2):
        answer = await client.post(TALK, json={"message": "a", "mode": mode}, headers=headers | KEY)
        assert answer.status_code == status
    good = await client.post(TALK, json={"message": "b"}, headers=headers | KEY)
    assert good.status_code == 200
    assert calls == ["talk"] * 3


async def test_a_client_that_leaves_frees_the_key(
    client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    slow = {"message": "a", "mode": "slow"}
    call = asyncio.create_task(client.post(TALK, json=slow, headers=headers | KEY))
    while not calls:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    answer = await client.post(TALK, json={"message": "b"}, headers=headers | KEY)
    assert answer.status_code == 200


async def test_keys_belong_to_a_user_and_a_route(
    client: httpx.AsyncClient, person: Person, bearer: Bearer, calls: list[str]
) -> None:
    one, other = bearer(await person(tier=1)), bearer(await person())
    await client.post(TALK, json={"message": "hi"}, headers=one | KEY)
    assert (await client.post(TALK, json={"message": "ho"}, headers=other | KEY)).status_code == 200
    image = await client.post("/api/images/generate", json={"message": "ho"}, headers=one | KEY)
    assert image.status_code == 201
    assert "idempotency-replayed" not in image.headers


@pytest.mark.parametrize("key", [b"", b" a", b"a b", b"\xc3\xa9", b"a" * 256, b"\x7f"])
async def test_a_key_that_is_not_visible_ascii_is_400(
    client: httpx.AsyncClient, headers: dict[str, str], key: bytes
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    answer = await client.post(
        TALK, json={"message": "a"}, headers=[*raw, (b"Idempotency-Key", key)]
    )
    assert _error(answer) == (400, "MALFORMED_REQUEST")


async def test_other_routes_ignore_the_key(
    client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    path = "/api/chat/messages/33333333-3333-4333-8333-333333333333/pin"
    for _ in range(2):
        answer = await client.put(path, headers=headers | {"Idempotency-Key": "a b"})
        assert answer.status_code == 200
    assert calls == ["pin", "pin"]


async def test_a_form_is_known_by_its_parts_not_by_its_bytes(
    client: httpx.AsyncClient, headers: dict[str, str], calls: list[str], sql: asyncpg.Connection
) -> None:
    path = "/api/images/upload"
    for filename in ("a.png", "b.png"):  # another boundary and file name, the same content
        answer = await client.post(
            path,
            files={"file": (filename, b"12345")},
            data={"purpose": "avatar"},
            headers=headers | {"Idempotency-Key": "form"},
        )
        assert answer.json()["name"] == "a.png"
    other = await client.post(
        path, files={"file": ("a.png", b"other")}, headers=headers | {"Idempotency-Key": "form"}
    )
    assert _error(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert calls == ["upload"]
    kept = await sql.fetchval("SELECT request_hash FROM idempotency_keys WHERE key = 'form'")
    lines = form_digest([("purpose", b"avatar"), ("file", b"12345")])
    assert lines.startswith(
        b"file:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    )
    assert kept == request_hash("POST", path, lines)


async def test_a_lock_lapses_after_three_minutes_and_its_late_owner_changes_nothing(
    app: FastAPI, person: Person, sql: asyncpg.Connection
) -> None:
    store: IdempotencyStore = app.state.platform.idempotency
    user_id = await person()
    first = await store.claim(user_id, "chat.talk", "k", "hash")
    assert isinstance(first, Claim)
    with pytest.raises(CallerError):
        await store.claim(user_id, "chat.talk", "k", "hash")
    left = await sql.fetchval(
        "SELECT extract(epoch FROM locked_until - now()) FROM idempotency_keys WHERE user_id = $1",
        user_id,
    )
    assert 170 < left <= 180
    await sql.execute(
        "UPDATE idempotency_keys SET locked_until = now() - interval '1 s' WHERE user_id = $1",
        user_id,
    )
    second = await store.claim(user_id, "chat.talk", "k", "hash")
    assert isinstance(second, Claim)
    await first.complete(200, "text/plain", b"late")
    await first.release()
    await second.complete(201, "text/plain", b"right")
    kept = await store.claim(user_id, "chat.talk", "k", "hash")
    assert kept == StoredAnswer(201, "text/plain", b"right")


async def test_a_key_is_forgotten_after_a_day(
    app: FastAPI, person: Person, sql: asyncpg.Connection
) -> None:
    store: IdempotencyStore = app.state.platform.idempotency
    user_id = await person()
    claim = await store.claim(user_id, "chat.talk", "k", "hash")
    assert isinstance(claim, Claim)
    await claim.complete(200, "text/plain", b"old")
    await sql.execute(
        "UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE user_id = $1",
        user_id,
    )
    assert isinstance(await store.claim(user_id, "chat.talk", "k", "other hash"), Claim)
    await sql.execute(
        "UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE user_id = $1",
        user_id,
    )
    assert await store.purge_expired() >= 1
    left = await sql.fetchval("SELECT count(*) FROM idempotency_keys WHERE user_id = $1", user_id)
    assert left == 0


async def test_completing_can_be_part_of_the_business_transaction(
    app: FastAPI, person: Person
) -> None:
    platform = app.state.platform
    user_id = await person()
    claim = await platform.idempotency.claim(user_id, "chat.talk", "tx", "hash")
    async with platform.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await claim.complete(200, "text/plain", b"never", connection)
        await transaction.rollback()
    with pytest.raises(CallerError):  # still in progress: the rollback took the answer with it
        await platform.idempotency.claim(user_id, "chat.talk", "tx", "hash")


async def test_without_the_table_nothing_is_done_twice_because_nothing_is_done(
    app: FastAPI, client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    await client.post(TALK, json={"message": "a"}, headers=headers)
    app.state.platform.pool.terminate()
    refused = await client.post(TALK, json={"message": "a"}, headers=headers | KEY)
    assert _error(refused) == (503, "UNAVAILABLE")
    assert calls == ["talk"]


async def test_a_copy_of_a_write_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    copy = headers | {"X-Shadow": "1"}
    refused = await client.post(TALK, json={"message": "a"}, headers=copy)
    assert _error(refused) == (400, "MALFORMED_REQUEST")
    assert (await client.get("/api/auth/users/me", headers=copy)).status_code == 200
    assert calls == ["me"]
