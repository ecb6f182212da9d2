"""Whatever a client sends, every app answers as its description says, and never with a failure."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

import asyncpg
import httpx
import hypothesis
import pytest
from hypothesis import Phase
from hypothesis import strategies as st

from tests.contracts.api.effects import Workers
from tests.contracts.api.fuzz import Caller, fuzz
from tests.contracts.api.sides import Running, Side
from tests.contracts.api.test_description import built
from tests.support.people import (
    People,
    Person,
    as_bytes,
    service_headers,
    standard_headers,
    stripe_headers,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

#: Requests per operation and mode; more for a longer look.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))


async def things(person: Person, database: asyncpg.Connection) -> dict[str, str]:
    """One of everything that has an id, by the names that parameters and fields give it."""
    reply = await person.talk()
    story = {"characters": ["Ana"], "title": "T", "content": "Once."}
    room = (await person.post("/api/story/rooms", json={"name": "R"})).json()
    made = {
        "conversation_id": reply["conversation_id"],
        "message_id": reply["user_message_id"],
        "media_id": (await person.upload())["id"],
        "story_id": (await person.post("/api/story/drafts", json=story)).json()["id"],
        "room_id": room["id"],
        "code": room["join_code"],
    }
    for name, table in (("actor_id", "actors"), ("character_id", "characters")):
        made[name] = str(
            await database.fetchval(
                f"INSERT INTO {table} (name, name_norm) VALUES ('Ana', 'ana') RETURNING id"
            )
        )
    made["title_id"] = str(
        await database.fetchval(
            "INSERT INTO titles (format, title, title_norm) VALUES ('movie', 'M', 'm') RETURNING id"
        )
    )
    return made


def described(side: Side) -> dict[str, dict[str, Any]]:
    """The documents of the side's apps. An account's end comes at the end of all, see below."""
    names = side.services if side.services else ("monolith",)
    return {name: built(name).openapi() for name in names}


async def test_no_request_makes_an_app_fail_or_answer_otherwise_than_described(
    side: Side, running: Running, people: People, database: asyncpg.Connection, events: Workers
) -> None:
    ana = await people.new(tier=2)
    known = await things(ana, database)
    await events.settle()
    problems: list[str] = []
    for document in described(side).values():
        forgotten = document["paths"].get("/api/auth/users/me", {}).pop("delete", None)
        caller = Caller({"user": ana.headers, "service": service_headers()}, known)
        problems += await asyncio.to_thread(fuzz, document, running.url, caller, EXAMPLES)
        assert forgotten is None or (await ana.get("/api/auth/users/me")).status_code == 200
    await events.settle()  # what was published by then is in the catalogue and can be handled
    assert problems == []


async def test_an_answer_that_is_not_described_is_noticed(
    side: Side, running: Running, people: People
) -> None:
    name, document = next(iter(described(side).items()))
    document["paths"] = {"/health": document["paths"]["/health"]}
    document["paths"]["/health"]["get"]["responses"].pop("200")
    problems = await asyncio.to_thread(fuzz, document, running.url, Caller({}), 1)
    assert [problem.split("\n")[0] for problem in problems] == ["GET /health"], name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KINDS = st.sampled_from(
    (
        "checkout.session.completed",
        "customer.subscription.updated",
        "invoice.paid",
        "charge.refunded",
        "user.created",
        "user.deleted",
        "session.created",
        "INSERT",
        "RENEWAL",
        "TRANSFER",
    )
)
FIELDS = ("id", "type", "data", "object", "event", "livemode", "created", "user", "metadata")
DELIVERIES = st.dictionaries(st.sampled_from(FIELDS), KINDS | JSON, max_size=6)


def deliver(url: str, count: int) -> list[str]:
    """Signed deliveries of any JSON to every webhook; those that were not answered as they may."""
    wrong: list[str] = []
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:

        @hypothesis.seed(3)
        @hypothesis.settings(
            max_examples=count, database=None, phases=[Phase.generate], deadline=None
        )
        @hypothesis.given(payload=DELIVERIES, kind=KINDS)
        def each(payload: dict[str, Any], kind: str) -> None:
            body = as_bytes({**payload, "type": kind} if len(payload) % 2 else payload)
            for path, headers in (
                ("/api/payments/webhook", stripe_headers(body)),
                ("/api/payments/webhook/revenuecat", {"Authorization": "revenue-cat-value"}),
                ("/api/webhooks/supabase", standard_headers(body, str(uuid.uuid4()))),
                ("/api/webhooks/clerk", standard_headers(body, str(uuid.uuid4()), prefix="svix")),
            ):
                answer = client.post(path, content=body, headers=headers)
                if answer.status_code not in (200, 400):
                    wrong.append(f"{path} {body!r}: {answer.status_code} {answer.text}")

        each()
    return wrong


async def test_signed_deliveries_of_any_json_are_stored_or_refused(
    running: Running, database: asyncpg.Connection
) -> None:
    assert await asyncio.to_thread(deliver, running.url, 10 * EXAMPLES) == []
    open_ones = await database.fetch(
        "SELECT provider, error FROM webhook_inbox WHERE error LIKE '%TypeError%'"
    )
    assert [tuple(row) for row in open_ones] == []
