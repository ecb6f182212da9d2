"""Event streams over a real socket: order, endings, clients that leave, replays, shutdown."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.contracts.api.sides import Running
from tests.support.people import People, Person, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")

STREAM = "/api/chat/talk_with/stream"


@pytest_asyncio.fixture(loop_scope="session")
async def ana(running: Running, database: asyncpg.Connection) -> Person:
    return await People(running.http, database).new()


def events_of(text: str) -> list[tuple[str, Any]]:
    """Names and data, after a look at the numbering."""
    found = []
    for number, block in enumerate(text.strip().split("\n\n"), start=1):
        lines = block.split("\n")
        assert lines[0] == f"id: {number}"
        assert lines[1].startswith("event: ")
        assert lines[2].startswith("data: ")
        found.append((lines[1][7:], json.loads(lines[2][6:])))
    return found


async def streamed(person: Person, **options: Any) -> list[tuple[str, Any]]:
    answer = await person.post(STREAM, **options)
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


async def stored(database: asyncpg.Connection, count: int) -> list[asyncpg.Record]:
    """The messages, once there are so many of them."""
    async with asyncio.timeout(10):
        while True:
            rows = await database.fetch("SELECT * FROM messages ORDER BY seq")
            if len(rows) >= count:
                return list(rows)
            await asyncio.sleep(0.05)


async def test_a_stream_starts_speaks_and_ends_with_the_whole_reply(ana: Person) -> None:
    answer = await ana.post(STREAM, json={"message": "hello my friend", "character": "Bob"})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "server" not in answer.headers
    events = events_of(answer.text)
    start, speaker, done = events[0][1], events[1][1], events[-1][1]
    assert [name for name, _ in events] == ["start", "speaker", *["delta"] * 5, "done"]
    deltas = [data["text"] for name, data in events if name == "delta"]
    assert deltas == ["Bob", " heard:", " hello", " my", " friend"]
    assert done["response"] == "".join(deltas)
    assert start == {key: done[key] for key in ("conversation_id", "user_message_id", "model")}
    assert speaker == {"message_id": done["message_id"], "character": "Bob"}


async def test_a_group_streams_every_speaker_in_order(ana: Person) -> None:
    body = {"participants": [{"name": "A"}, {"name": "B"}]}
    group = (await ana.post("/api/chat/group", json=body)).json()["id"]
    events = await streamed(ana, json={"message": "yo", "conversation_id": group})
    assert [data["character"] for name, data in events if name == "speaker"] == ["A", "B"]
    assert [r["response"] for r in events[-1][1]["responses"]] == ["A heard: yo", "B heard: yo"]


async def test_what_fails_before_the_start_is_an_ordinary_error(ana: Person) -> None:
    for body, status, code in (
        ({"message": "", "character": "A"}, 422, "VALIDATION_ERROR"),
        ({"message": "[[reject]]", "character": "A"}, 422, "CONTENT_REJECTED"),
        ({"message": "x", "character": "A", "model": "gpt-4o"}, 402, "INSUFFICIENT_TIER"),
    ):
        answer = await ana.post(STREAM, json=body)
        assert (answer.status_code, error_code(answer)) == (status, code)


async def test_a_failure_before_the_first_delta_stores_and_costs_nothing(
    ana: Person, database: asyncpg.Connection
) -> None:
    events = await streamed(ana, json={"message": "[[fail]]", "character": "A"})
    assert [name for name, _ in events] == ["start", "error"]
    error = events[-1][1]
    assert (error["code"], error["details"]) == ("PROVIDER_ERROR", {"provider_kind": "model"})
    assert await database.fetchval("SELECT count(*) FROM messages") == 0
    quotas = (await ana.get("/api/payments/quotas")).json()
    assert (quotas["quota"], quotas["quotas"]["chat"]["held"]) == (5, 0)


async def test_a_failure_in_the_middle_keeps_what_was_said_and_frees_the_key(
    ana: Person, database: asyncpg.Connection
) -> None:
    body = {"message": "a b c [[fail-mid]]", "character": "A"}
    events = await streamed(ana, json=body, headers={"Idempotency-Key": "k"})
    assert [name for name, _ in events] == ["start", "speaker", "delta", "delta", "error"]
    rows = await stored(database, 2)
    assert (rows[1]["content"], rows[1]["truncated"]) == ("A heard:", True)
    assert (await ana.get("/api/payments/quotas")).json()["quota"] == 4
    assert await database.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_a_reply_is_finished_for_a_client_that_leaves(
    ana: Person, database: asyncpg.Connection
) -> None:
    body = {"message": "[[slow]] word", "character": "A"}
    async with ana.client.stream("POST", STREAM, json=body, headers=ana.headers) as answer:
        async for line in answer.aiter_lines():
            assert line == "id: 1"
            break
    rows = await stored(database, 2)
    assert (rows[1]["content"], rows[1]["truncated"]) == ("A heard: [[slow]] word", False)
    states = await database.fetch("SELECT state FROM quota_reservations")
    assert [row["state"] for row in states] == ["settled"]


async def test_a_repeated_stream_gets_the_stored_reply_in_one_piece(
    ana: Person, database: asyncpg.Connection
) -> None:
    body = {"message": "hello you", "character": "A"}
    key = {"Idempotency-Key": "k"}
    first = await streamed(ana, json=body, headers=key)
    answer = await ana.post(STREAM, json=body, headers=key)
    assert answer.headers["idempotency-replayed"] == "true"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    again = events_of(answer.text)
    assert [name for name, _ in again] == ["start", "speaker", "delta", "done"]
    assert again[2][1] == {"text": "A heard: hello you"}
    assert (again[0], again[1], again[-1]) == (first[0], first[1], first[-1])
    assert await database.fetchval("SELECT count(*) FROM messages") == 2
