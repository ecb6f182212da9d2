"""What one side begins the other goes on with: conversations, keys, cursors, streams."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI

from tests.integration.chat.conftest import events_of, stored
from tests.support.people import People, Person, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")
#: Ends the session that waits for the row of this one; true once there was one.
CUT_WAITING = """SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)) AND application_name LIKE 'chat/%'"""
TALK, STREAM = "/api/chat/talk_with", "/api/chat/talk_with/stream"


async def test_a_conversation_goes_on_wherever_its_messages_are_answered(
    people: People, sql: asyncpg.Connection
) -> None:
    ana = await people.new()
    conversation = (await ana.talk("0", "Neo"))["conversation_id"]
    for number in range(1, 6):
        reply = await ana.talk(str(number), conversation_id=conversation)
        assert reply["response"] == f"Neo heard: {number}"
        assert reply["remaining_quota"] == 4  # one unit for the day, whoever charges it
    rows = await stored(sql, ana)
    assert [row["seq"] for row in rows] == list(range(1, 13))
    path = f"/api/chat/conversations/{conversation}/messages?limit=5"
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await ana.get(path + (cursor and f"&cursor={cursor}"))).json()
        seen += [message["seq"] for message in page["items"]]
        cursor = page["next_cursor"]
    assert seen == list(range(12, 0, -1))


@pytest.mark.parametrize("path", [TALK, STREAM])
@pytest.mark.parametrize("first", ["service", "monolith"])
async def test_a_key_of_one_side_is_known_to_the_other(
    people: People, sql: asyncpg.Connection, path: str, first: str
) -> None:
    ana = await people.new()
    if first == "monolith":  # the fixture asks the sides in turn, the service first
        await ana.get("/api/chat/conversations")
    request: dict[str, Any] = {
        "json": {"message": "hello you", "character": "Neo"},
        "headers": {"Idempotency-Key": "k"},
    }
    done = await ana.post(path, **request)
    again = await ana.post(path, **request)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == done.headers["content-type"]
    assert again.headers["cache-control"] == done.headers["cache-control"]
    if path == STREAM:
        old, new = events_of(done.text), events_of(again.text)
        assert [name for name, _ in new] == ["start", "speaker", "delta", "done"]
        assert (new[0], new[1], new[-1]) == (old[0], old[1], old[-1])
        assert new[2][1] == {"text": "Neo heard: hello you"}
    else:
        assert again.json() == done.json()
    assert len(await stored(sql, ana)) == 2


async def test_parallel_messages_never_spend_more_than_the_quota(people: People) -> None:
    ana = await people.new()
    answers = await asyncio.gather(
        *(ana.post(TALK, json={"message": "x", "character": f"C{n}"}) for n in range(8))
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) <= 5
    refused = [answer for answer in answers if answer.status_code == 402]
    assert {error_code(answer) for answer in refused} == {"INSUFFICIENT_QUOTA"}
    used = (await ana.get("/api/payments/quotas")).json()["quotas"]["chat"]["used"]
    assert used == statuses.count(200)


async def test_a_stream_is_finished_and_paid_for_a_client_that_leaves(
    ana: Person, sql: asyncpg.Connection
) -> None:
    body = {"message": "[[slow]] word", "character": "A"}
    async with ana.client.stream("POST", STREAM, json=body, headers=ana.headers) as answer:
        async for line in answer.aiter_lines():
            assert line == "id: 1"
            break
    async with asyncio.timeout(10):
        while len(rows := await stored(sql, ana)) < 2:
            await asyncio.sleep(0.02)
    assert (rows[1]["content"], rows[1]["truncated"]) == ("A heard: [[slow]] word", False)
    state = "SELECT state FROM quota_reservations WHERE id = $1"
    assert await sql.fetchval(state, rows[1]["reservation_id"]) == "settled"


async def test_a_process_that_ends_tells_its_clients_and_gives_the_charge_back(
    ana: Person, sql: asyncpg.Connection, service_app: FastAPI
) -> None:
    body = {"message": "[[slow]] x", "character": "A"}
    headers = {"Idempotency-Key": "cut"}
    task = asyncio.create_task(ana.post(STREAM, json=body, headers=headers))
    streams = service_app.state.streams
    async with asyncio.timeout(10):
        while not len(streams):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
    streams._cancel_all()  # what happens 50 s after SIGTERM
    events = events_of((await task).text)
    assert [name for name, _ in events] == ["start", "error"]
    assert events[-1][1]["code"] == "UNAVAILABLE"
    assert await stored(sql, ana) == []
    rows = await sql.fetch(
        "SELECT state FROM quota_reservations WHERE user_id = $1::text::uuid", ana.id
    )
    assert [row["state"] for row in rows] == ["refunded"]
    keys = "SELECT count(*) FROM idempotency_keys WHERE user_id = $1::text::uuid"
    assert await sql.fetchval(keys, ana.id) == 0


@pytest.mark.parametrize("path", [TALK, STREAM])
async def test_a_database_that_drops_the_connection_costs_and_stores_nothing(
    ana: Person, sql: asyncpg.Connection, path: str
) -> None:
    conversation = (await ana.talk("one", "Neo"))["conversation_id"]
    async with sql.transaction():
        await sql.execute(
            "SELECT 1 FROM conversations WHERE id = $1::text::uuid FOR UPDATE", conversation
        )
        body = {"message": "two", "conversation_id": conversation}
        talking = asyncio.create_task(ana.post(path, json=body))
        async with asyncio.timeout(10):
            while not await sql.fetchval(CUT_WAITING):
                await asyncio.sleep(0.02)
        answer = await talking
    error = answer.json()["error"] if path == TALK else events_of(answer.text)[-1][1]
    assert error["code"] == "UNAVAILABLE"
    assert answer.status_code == (503 if path == TALK else 200)
    assert len(await stored(sql, ana)) == 2
    rows = await sql.fetch(
        "SELECT state FROM quota_reservations WHERE user_id = $1::text::uuid ORDER BY created_at",
        ana.id,
    )
    assert [row["state"] for row in rows] == ["settled", "refunded"]
