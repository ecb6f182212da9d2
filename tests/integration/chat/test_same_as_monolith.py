"""The monolith and the service over one database: the same requests, the same answers, rows and events."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import asyncpg
import httpx
import pytest

from tests.integration.chat.conftest import Sides, client_of, events_of
from tests.support.people import PNG, People, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")
TALK, STREAM = "/api/chat/talk_with", "/api/chat/talk_with/stream"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOBODY = "00000000-0000-4000-8000-000000000000"
HEADERS = (
    "content-type",
    "cache-control",
    "x-remaining-quota",
    "content-disposition",
    "x-accel-buffering",
)


class Journey:
    """One person's way through every route; ids that differ are told apart by their order."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.names: dict[str, str] = {person.id: "me"}
        self.steps: list[object] = []

    async def step(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = await self.person.send(method, path, **options)
        kind = answer.headers.get("content-type", "")
        body: object = answer.content
        if kind.startswith("application/json"):
            body = self.told_apart(answer.json())
        elif kind.startswith("text/event-stream"):
            body = [(name, self.told_apart(data)) for name, data in events_of(answer.text)]
        elif kind.startswith(("text/plain", "application/pdf")):
            body = TIME.sub(b"a time", answer.content)
        headers = [self.named(answer.headers.get(name, "")) for name in HEADERS]
        self.steps.append((method, self.named(path), answer.status_code, headers, body))
        return answer

    def told_apart(self, value: Any) -> Any:
        """JSON with ids by their order, without times, messages of errors and fields' messages."""
        if isinstance(value, dict):
            dropped = {"message", "detail"} if "details" in value or "error" in value else set()
            if set(value) == {"path", "message"}:
                dropped = {"message"}
            return {
                key: "a time" if key.endswith("_at") and item else self.told_apart(item)
                for key, item in value.items()
                if key not in dropped | {"request_id", "next_cursor"}
            }
        if isinstance(value, list):
            return [self.told_apart(item) for item in value]
        return self.named(value) if isinstance(value, str) else value

    def named(self, text: str) -> str:
        return UUID.sub(lambda found: self._name(found[0]), text)

    def _name(self, identity: str) -> str:
        return self.names.setdefault(identity, f"id {len(self.names)}")


async def travel(journey: Journey) -> None:
    step = journey.step
    first = (
        await step("POST", TALK, json={"message": " hi ", "character": "Neo", "series": "M"})
    ).json()
    conversation, known = first["conversation_id"], {"conversation_id": first["conversation_id"]}
    await step("POST", TALK, json={"message": "more", **known, "character": "Somebody else"})
    await step("POST", TALK, json={"message": "x" * 4001, "character": "Neo"})
    await step("POST", TALK, json={"message": "", "character": "Neo", "model": "gpt-9"})
    await step("POST", TALK, json={"message": "hi"})
    await step("POST", TALK, json={"message": "hi", "conversation_id": NOBODY})
    await step("POST", TALK, json={"message": "hi", "conversation_id": "no id"})
    await step("POST", TALK, json={"message": "hi", "character": "Neo", "model": "gpt-4o"})
    for marker in ("fail", "timeout", "reject", "fail-mid"):
        await step("POST", TALK, json={"message": f"a b c [[{marker}]]", **known})
        await step("POST", STREAM, json={"message": f"a b c [[{marker}]]", **known})
    await step("POST", STREAM, json={"message": "hello  you ", "character": "Trinity"})
    await step("POST", STREAM, json={"message": "hi", "conversation_id": NOBODY})
    crew = {"participants": [{"name": "A"}, {"name": "B", "series": None}], "title": None}
    group = (await step("POST", "/api/chat/group", json=crew)).json()["id"]
    await step("POST", "/api/chat/group", json={"participants": [{"name": "A"}, {"name": "A"}]})
    await step("POST", f"/api/chat/group/{group}/talk", json={"message": "all of you"})
    await step("POST", f"/api/chat/group/{conversation}/talk", json={"message": "hi"})
    await step("POST", TALK, json={"message": "hi", "conversation_id": group})
    await step("POST", STREAM, json={"message": "all of you", "conversation_id": group})
    await change(journey, conversation, first)
    await speak(journey, conversation)
    for query in (
        "",
        "?limit=2",
        "?type=group",
        "?character=NEO",
        "?character=",
        "?limit=0",
        "?type=x",
    ):
        await step("GET", f"/api/chat/conversations{query}")
    await step("DELETE", f"/api/chat/conversations/{conversation}")
    await step("DELETE", f"/api/chat/conversations/{conversation}")
    await step("GET", f"/api/chat/conversations/{conversation}/export")


async def change(journey: Journey, conversation: str, first: dict[str, Any]) -> None:
    """Messages, history and files of a conversation."""
    step = journey.step
    mine = f"/api/chat/messages/{first['user_message_id']}"
    theirs = f"/api/chat/messages/{first['message_id']}"
    for message in (mine, theirs, f"/api/chat/messages/{NOBODY}"):
        await step("PATCH", message, json={"content": " new "})
        await step("PATCH", message, json={"content": None})
        await step("PATCH", message, json={"content": "[[reject]]"})
        await step("PUT", f"{message}/pin", json={})
        await step("PUT", f"{message}/pin", json={"pinned": None})
        await step("PUT", f"{message}/reaction", json={"reaction_type": "like"})
        await step("PUT", f"{message}/reaction", json={"reaction_type": "love"})
    history = f"/api/chat/conversations/{conversation}/messages"
    for query in (
        "",
        "?order=asc&limit=3",
        "?pinned=true",
        "?order=up",
        "?cursor=x",
        "?pinned=perhaps",
    ):
        await step("GET", history + query)
    await step("PUT", f"{theirs}/reaction", json={})
    await step("DELETE", mine)
    await step("DELETE", mine)
    for form in ("txt", "json", "pdf", "doc"):
        await step("GET", f"/api/chat/conversations/{conversation}/export?format={form}")


async def speak(journey: Journey, conversation: str) -> None:
    """Voice and pictures."""
    step = journey.step
    sound = {"audio": ("a", b"ID3" + b"x" * 20)}
    hear = "/api/chat/voice/transcribe"
    for fields in (
        {"duration_ms": "60001"},
        {"duration_ms": "1", "language": "de"},
        {"duration_ms": "0"},
        {},
    ):
        await step("POST", hear, files=sound, data=fields)
    await step("POST", hear, files={"audio": ("a", b"ID3[[fail]]")}, data={"duration_ms": "1"})
    await step("POST", hear, files={"audio": ("a", b"words")}, data={"duration_ms": "1"})
    for body in (
        {"text": "x" * 1001, "format": "wav"},
        {"text": "hi", "voice": ""},
        {"text": "[[timeout]]"},
    ):
        await step("POST", "/api/chat/voice/speak", json=body)
    for fields in ({"character": "Neo", "message": "look"}, {"conversation_id": conversation}, {}):
        await step("POST", "/api/chat/image", files={"image": ("a.png", PNG)}, data=fields)
    await step(
        "POST", "/api/chat/image", files={"image": ("a.png", b"text")}, data={"character": "N"}
    )
    await step("POST", "/api/chat/image", data={"character": "N"}, files={"other": b"x"})


async def run(
    urls: dict[str, str], sql: asyncpg.Connection, side: str, tier: int
) -> tuple[Journey, list[Any], list[Any]]:
    """The journey of a new person on one side, the rows it leaves and the events it causes."""
    async with client_of(Sides(urls, lambda: side)) as client:
        journey = Journey(await People(client, sql).new(tier=tier))
        await travel(journey)
    return journey, await rows_of(sql, journey), await events_of_user(sql, journey)


async def rows_of(sql: asyncpg.Connection, journey: Journey) -> list[Any]:
    """What is left in the tables, without times."""
    me = uuid.UUID(journey.person.id)
    queries = (
        "SELECT to_jsonb(c) FROM conversations c WHERE user_id = $1 ORDER BY created_at, id",
        "SELECT to_jsonb(m) - 'id' FROM messages m JOIN conversations c ON c.id = m.conversation_id"
        " WHERE c.user_id = $1 ORDER BY c.created_at, m.seq",
        "SELECT to_jsonb(r) FROM message_reactions r WHERE user_id = $1",
        "SELECT to_jsonb(q) FROM user_quotas q WHERE user_id = $1 ORDER BY quota_type",
        "SELECT jsonb_build_array(quota_type, state, allowance, from_bonus, subject IS NULL)"
        " FROM quota_reservations WHERE user_id = $1 ORDER BY created_at, id",
    )
    return [
        journey.told_apart(json.loads(row[0]))
        for query in queries
        for row in await sql.fetch(query, me)
    ]


async def events_of_user(sql: asyncpg.Connection, journey: Journey) -> list[Any]:
    rows = await sql.fetch(
        "SELECT type, body FROM outbox WHERE partition_key = $1 ORDER BY id", journey.person.id
    )
    found = []
    for row in rows:
        body = json.loads(row["body"])
        kept = ("specversion", "type", "version", "source", "subject", "datacontenttype", "data")
        found.append(journey.told_apart({name: body[name] for name in kept}))
        assert body["requestid"]
    return found


@pytest.mark.parametrize("tier", [0, 1])
async def test_both_give_the_same_answers_and_leave_the_same_rows_and_events(
    urls: dict[str, str], sql: asyncpg.Connection, tier: int
) -> None:
    old, old_rows, old_events = await run(urls, sql, "monolith", tier)
    new, new_rows, new_events = await run(urls, sql, "service", tier)
    assert len(new.steps) > 60
    for old_step, new_step in zip(old.steps, new.steps, strict=True):
        assert new_step == old_step
    assert new_rows == old_rows
    assert new_events == old_events
