"""Chat through the vendors' own libraries over HTTP, against the stand-ins of the vendors."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from services.chat.app import build
from services.chat.providers.vendors.registry import parse_chain
from tests.integration.chat.conftest import MANIFEST, MakeSettings, events_of, served, stored
from tests.integration.chat.vendors import asked, requests_to, reset, running_stand_ins
from tests.support.people import PNG, People, Person, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")
TALK, STREAM = "/api/chat/talk_with", "/api/chat/talk_with/stream"
CLAUDE, GPT = "anthropic:claude-haiku-4-5", "openai:gpt-4o-mini"
QUIET = {"backgrounds": False, "follow_ups": False}
Live = Callable[..., AbstractAsyncContextManager[People]]


@pytest.fixture(scope="session")
def stand_ins() -> Iterator[str]:
    """The address of a process with the stand-ins of all vendors."""
    with running_stand_ins() as url:
        yield url


@pytest.fixture
def live(
    stand_ins: str, chat_dsn: str, make_settings: MakeSettings, sql: asyncpg.Connection
) -> Live:
    """People of a service of their own that asks the stand-ins."""

    reset(stand_ins)

    @asynccontextmanager
    async def running(**changes: Any) -> AsyncIterator[People]:
        values: dict[str, Any] = {
            "providers": "live",
            "anthropic_api_key": SecretStr("key"),
            "anthropic_base_url": f"{stand_ins}/anthropic",
            "openai_api_key": SecretStr("key"),
            "openai_base_url": f"{stand_ins}/openai/v1",
            "tmdb_api_key": SecretStr("key"),
            "tmdb_base_url": f"{stand_ins}/tmdb/3",
            "wikipedia_base_url": f"{stand_ins}/wikipedia",
            "model_claude_3_haiku": parse_chain(CLAUDE),
        }
        app = build(make_settings(chat_dsn, **(values | changes)), MANIFEST)
        async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
            yield People(client, sql)

    return running


async def streamed(person: Person, message: str, **more: Any) -> list[tuple[str, Any]]:
    answer = await person.post(STREAM, json={"message": message, "character": "Neo", **more})
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


async def states(sql: asyncpg.Connection, person: Person) -> list[str]:
    rows = await sql.fetch(
        "SELECT state FROM quota_reservations WHERE user_id = $1 ORDER BY created_at",
        uuid.UUID(person.id),
    )
    return [row["state"] for row in rows]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("model", "vendor"), [(CLAUDE, "anthropic"), (GPT, "openai")])
async def test_a_vendor_streams_with_persona_background_and_history(
    live: Live, stand_ins: str, model: str, vendor: str
) -> None:
    async with live(model_claude_3_haiku=parse_chain(model)) as people:
        ana = await people.new()
        events = await streamed(ana, "what is the Matrix?", series="The Matrix")
        names = [name for name, _ in events]
        assert names == ["start", "speaker", *["delta"] * (len(names) - 3), "done"]
        assert len(names) > 5
        done = events[-1][1]
        assert done["response"] == "heard: what is the Matrix?"
        assert done["response"] == "".join(data["text"] for name, data in events if name == "delta")
        assert done["model"] == "claude-3-haiku"
        conversation = done["conversation_id"]
        again = await ana.talk("and now?", conversation_id=conversation)
        assert again["response"] == "heard: and now?"
        body = asked(stand_ins, vendor)[-1]
        system = body["system"] if vendor == "anthropic" else body["messages"][0]["content"]
        assert system.startswith("You play Neo from The Matrix")
        assert "Thomas Anderson" in system  # Wikipedia
        assert "Neo is played by Keanu Reeves" in system  # TMDB
        said = [one["content"] for one in body["messages"] if one["role"] != "system"]
        assert said == ["what is the Matrix?", "heard: what is the Matrix?", "and now?"]


async def test_questions_that_might_follow_come_from_a_model(live: Live) -> None:
    async with live() as people:
        reply = await (await people.new()).talk("hm.\nwho are you?\nwell.", "Neo")
        assert reply["follow_up_questions"] == ["who are you?"]


async def test_a_group_answers_one_after_the_other(live: Live, stand_ins: str) -> None:
    async with live(backgrounds=False, follow_ups=False) as people:
        ana = await people.new()
        made = await ana.post(
            "/api/chat/group", json={"participants": [{"name": "Neo"}, {"name": "Trinity"}]}
        )
        path = f"/api/chat/group/{made.json()['id']}/talk"
        reply = (await ana.post(path, json={"message": "run"})).json()
        assert [one["character"] for one in reply["responses"]] == ["Neo", "Trinity"]
        second = asked(stand_ins, "anthropic")[-1]["messages"][-1]["content"]
        assert second.startswith("user: run\nNeo: heard: user: run")
        assert second.endswith("Trinity:")


@pytest.mark.parametrize("failure", ["fail", "limit", "overloaded", "timeout"])
async def test_the_next_of_the_chain_answers_before_the_first_word(
    live: Live, stand_ins: str, sql: asyncpg.Connection, failure: str
) -> None:
    chain = parse_chain(f"{CLAUDE},{GPT}")
    seconds = 2.0 if failure == "timeout" else 12.0
    async with live(model_claude_3_haiku=chain, first_token_seconds=seconds, **QUIET) as people:
        ana = await people.new()
        events = await streamed(ana, f"[[anthropic:{failure}]] hello")
        assert events[-1][1]["response"] == "heard: hello"
        assert [name for name, _ in events].count("start") == 1
        assert len(asked(stand_ins, "openai", failure)) == 1
        assert await states(sql, ana) == ["settled"]


async def test_after_the_first_word_there_is_no_way_back(
    live: Live, stand_ins: str, sql: asyncpg.Connection
) -> None:
    chain = parse_chain(f"{CLAUDE},{GPT}")
    for number, end in enumerate(("fail-mid", "disconnect"), start=1):
        async with live(model_claude_3_haiku=chain, **QUIET) as people:
            ana = await people.new()
            events = await streamed(ana, f"[[anthropic:{end}]] one two three")
            assert [name for name, _ in events] == ["start", "speaker", "delta", "delta", "error"]
            assert events[-1][1]["code"] == "PROVIDER_ERROR"
            assert asked(stand_ins, "openai") == []
            reset(stand_ins)
            rows = await stored(sql, ana)
            assert (rows[1]["content"], rows[1]["truncated"]) == ("heard: one", True), number
            assert await states(sql, ana) == ["settled"]


async def test_nobody_answers_in_time_and_nothing_is_stored_or_charged(
    live: Live, sql: asyncpg.Connection
) -> None:
    async with live(first_token_seconds=0.2, **QUIET) as people:
        ana = await people.new()
        late = await ana.post(TALK, json={"message": "[[timeout]]", "character": "Neo"})
        assert (late.status_code, error_code(late)) == (504, "PROVIDER_TIMEOUT")
        assert await states(sql, ana) == ["refunded"]
        assert await stored(sql, ana) == []


async def test_nobody_can_answer_and_nothing_is_stored_or_charged(
    live: Live, sql: asyncpg.Connection
) -> None:
    async with live(**QUIET) as people:
        ana = await people.new()
        for path in (TALK, STREAM):
            broken = await ana.post(path, json={"message": "[[fail]]", "character": "Neo"})
            if path == TALK:
                assert (broken.status_code, error_code(broken)) == (502, "PROVIDER_ERROR")
                error = broken.json()["error"]
            else:  # the quota was reserved, so the stream has begun
                events = events_of(broken.text)
                assert [name for name, _ in events] == ["start", "error"]
                error = events[-1][1]
            assert error["details"] == {"provider_kind": "model"}
        assert await states(sql, ana) == ["refunded", "refunded"]
        assert await stored(sql, ana) == []


async def test_a_deployment_that_keeps_failing_is_left_alone(live: Live, stand_ins: str) -> None:
    chain = parse_chain(f"{CLAUDE},{GPT}")
    async with live(model_claude_3_haiku=chain, **QUIET) as people:
        ana = await people.new(tier=1)
        for number in range(7):
            reply = await ana.talk(f"[[anthropic:fail]] {number}", "Neo")
            assert reply["response"] == f"heard: {number}"
        assert len(asked(stand_ins, "anthropic", "anthropic:fail")) == 5
        assert len(asked(stand_ins, "openai", "anthropic:fail")) == 7


async def test_a_wrong_key_is_not_tried_again_and_its_vendor_is_replaced(
    live: Live, stand_ins: str
) -> None:
    chain = parse_chain(f"{CLAUDE},{GPT}")
    wrong = f"{stand_ins}/nowhere"  # answers 404, as for a wrong name
    async with live(model_claude_3_haiku=chain, anthropic_base_url=wrong, **QUIET) as people:
        ana = await people.new(tier=1)
        for _ in range(3):
            assert (await ana.talk("hello", "Neo"))["response"] == "heard: hello"
        assert len(requests_to(stand_ins, "nowhere")) == 1


async def test_a_client_that_leaves_pays_for_the_whole_reply_that_is_stored(
    live: Live, sql: asyncpg.Connection
) -> None:
    async with live(**QUIET) as people:
        ana = await people.new()
        body = {"message": "[[slow]] one two", "character": "Neo"}
        async with ana.client.stream("POST", STREAM, json=body, headers=ana.headers) as answer:
            async for line in answer.aiter_lines():
                assert line == "id: 1"
                break
        await until(lambda: _has_rows(sql, ana, 2))
        rows = await stored(sql, ana)
        assert (rows[1]["content"], rows[1]["truncated"]) == ("heard: one two", False)
        assert await states(sql, ana) == ["settled"]


async def test_groq_deepseek_and_gemini_are_asked_at_their_own_addresses(
    live: Live, stand_ins: str
) -> None:
    address, key = f"{stand_ins}/openai/v1", SecretStr("key")
    models = {"llama-3-70b": "groq", "deepseek-chat": "deepseek", "gemini-flash": "gemini"}
    changes = {f"{vendor}_base_url": address for vendor in models.values()}
    changes |= {f"{vendor}_api_key": key for vendor in models.values()}
    async with live(openai_api_key=None, **changes, **QUIET) as people:
        ana = await people.new(tier=1)
        for model in models:
            assert (await ana.talk("hello", "Neo", model=model))["response"] == "heard: hello"
        named = [(body["model"], "max_tokens" in body) for body in asked(stand_ins, "openai")]
        assert named == [
            ("llama-3.3-70b-versatile", False),
            ("deepseek-chat", True),
            ("gemini-2.5-flash", True),
        ]


async def test_moderation_voice_and_pictures_are_asked_of_openai(
    live: Live, stand_ins: str
) -> None:
    async with live(**QUIET) as people:
        ana = await people.new(tier=1)
        bad = await ana.post(TALK, json={"message": "[[reject]]", "character": "Neo"})
        assert (bad.status_code, error_code(bad)) == (422, "CONTENT_REJECTED")
        sound = b"ID3" + b"x" * 20
        heard = await ana.post(
            "/api/chat/voice/transcribe",
            files={"audio": ("a", sound)},
            data={"duration_ms": "1", "language": "de"},
        )
        assert heard.json()["text"] == "transcript of 23 bytes"
        assert heard.json()["language"] == "de"
        spoken = await ana.post("/api/chat/voice/speak", json={"text": "hello"})
        assert spoken.content.startswith(b"STAND-IN-AUDIO:")
        shown = await ana.post(
            "/api/chat/image", files={"image": ("a.png", PNG)}, data={"character": "Neo"}
        )
        assert shown.json()["description"] == "heard: Describe this picture."
        prompt = asked(stand_ins, "anthropic")[-1]["messages"][-1]["content"]
        assert prompt == "[shows a picture: heard: Describe this picture.]"


async def test_without_any_key_every_provider_fails_and_nothing_is_charged(
    live: Live, sql: asyncpg.Connection
) -> None:
    async with live(anthropic_api_key=None, openai_api_key=None, **QUIET) as people:
        ana = await people.new()
        answer = await ana.post(TALK, json={"message": "hello", "character": "Neo"})
        assert (answer.status_code, error_code(answer)) == (502, "PROVIDER_ERROR")
        spoken = await ana.post("/api/chat/voice/speak", json={"text": "hello"})
        assert spoken.json()["error"]["details"] == {"provider_kind": "speech"}
        assert await states(sql, ana) == ["refunded", "refunded"]


async def _has_rows(sql: asyncpg.Connection, person: Person, count: int) -> bool:
    return len(await stored(sql, person)) == count
