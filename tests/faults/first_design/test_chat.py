"""Faults of the first design's chat and payments, asked of the old API and of the services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import structlog
from fastapi import FastAPI
from jose import jwt

from migrate.stack.stand_ins.pointing import vendor_environment
from tests.contracts.auth.apps import Place, monolith_app, ready, service_app
from tests.support.platform_database import one_for_all
from tests.support.sample_service import user_row
from tests.support.stand_in_process import StandIns, stand_in_process

SECRET = "the-secret-of-the-first-designs-chat-01"
TALK = "/api/chat/talk_with"
Name = Literal["monolith", "chat", "payments"]
BOTH = pytest.mark.parametrize("name", ["monolith", "chat"])


@dataclass
class Person:
    """Somebody with an account at one app."""

    client: httpx.AsyncClient
    id: UUID
    sql: asyncpg.Connection

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        claims = {
            "sub": str(self.id), "aud": "authenticated", "role": "authenticated", "exp": 2**33,
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}
        return await self.client.request(method, path, headers=headers, **options)

    async def talk(self, message: str, **more: Any) -> httpx.Response:
        return await self.ask("POST", TALK, json={"message": message, "character": "Neo"} | more)

    async def buy(self, tier: int, status: str = "active") -> None:
        await self.sql.execute(
            "INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id,"
            " tier, status) VALUES ($1, 'stripe', $2, 'price_max', $3, $4)",
            self.id,
            f"sub_{self.id}",
            tier,
            status,
        )


Opened = Callable[..., AbstractAsyncContextManager[Person]]


@pytest.fixture(scope="module", autouse=True)
def plain_logs() -> Iterator[None]:
    """Short tracebacks: the default ones show every local variable and take seconds."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    with stand_in_process(tmp_path_factory.mktemp("outbox")) as found:
        yield found


@pytest.fixture
def opened(platform_dsn: str, redis_url: str, rabbitmq_url: str, tmp_path: Path) -> Opened:
    """A person at an app of that name; `live` is the address of the vendors."""
    place = Place(platform_dsn, redis_url, rabbitmq_url, tmp_path, (SECRET,), None)

    @asynccontextmanager
    async def open_(name: Name, live: str | None = None) -> AsyncIterator[Person]:
        sql = await asyncpg.connect(platform_dsn)
        user_id = uuid4()
        await sql.execute(
            "INSERT INTO users (id, email, referral_code, confirmed) VALUES ($1, $2, $3, true)",
            *user_row(user_id),
        )
        await sql.execute("INSERT INTO user_profiles (user_id) VALUES ($1)", user_id)
        try:
            async with ready(_app(name, place, live)) as client:
                yield Person(client, user_id, sql)
        finally:
            await sql.close()

    return open_


def _app(name: Name, place: Place, live: str | None) -> FastAPI:
    told = vendor_environment(live) if live else {}
    if name == "monolith":
        changes: dict[str, Any] = {"providers": "live", "provider_keys": told} if told else {}
        return monolith_app(place, **changes)
    of_chat = {"follow_ups": False, "backgrounds": False} if told else {}
    issuers = ("SUPABASE_", "CLERK_")  # tokens are ours here
    settings = {key.lower(): value for key, value in told.items() if not key.startswith(issuers)}
    return service_app(name, place, **settings, **of_chat)


@BOTH
async def test_l1_slow_models_hold_up_nobody_else(name: Name, opened: Opened) -> None:
    async with opened(name) as person:
        await person.buy(2)
        slow = [asyncio.create_task(person.talk("[[slow]] Hello")) for _ in range(8)]
        await asyncio.sleep(0.2)  # they wait for the model now
        assert (await person.client.get("/healthz")).status_code == 200
        assert not any(task.done() for task in slow)
        answers = await asyncio.gather(*slow)
        assert [answer.status_code for answer in answers] == [200] * 8


@BOTH
async def test_l2_free_and_unlimited_users_can_talk(name: Name, opened: Opened) -> None:
    async with opened(name) as person:
        free = await person.talk("Hello")
        await person.buy(2)
        unlimited = await person.talk("Hello")
        again = await person.talk("Hello")
    shown = [answer.json()["remaining_quota"] for answer in (free, unlimited, again)]
    assert shown == [4, -1, -1]  # -1 is never taken down to 0


@BOTH
async def test_l8_l9_parallel_messages_are_in_order_counted_and_the_newest_first(
    name: Name, opened: Opened
) -> None:
    async with opened(name) as person:
        await person.buy(2)
        opening = (await person.talk("first")).json()["conversation_id"]
        answers = await asyncio.gather(
            *(person.talk(f"message {n}", conversation_id=opening) for n in range(12))
        )
        assert {answer.status_code for answer in answers} == {200}
        last = (await person.talk("last", conversation_id=opening)).json()["response"]
        path = f"/api/chat/conversations/{opening}/messages?limit=20"
        page = (await person.ask("GET", path)).json()
    assert page["items"][0]["content"] == last  # of 28 messages the newest 20, not the oldest
    assert [item["seq"] for item in page["items"]] == list(range(28, 8, -1))
    assert (page["conversation"]["message_count"], page["has_more"]) == (28, True)


@BOTH
async def test_l10_what_a_model_thinks_first_is_no_answer(
    name: Name, opened: Opened, vendors: StandIns
) -> None:
    vendors.reset()
    async with opened(name, vendors.url) as person:
        answer = await person.talk("[[think]] Hello")
    assert answer.status_code == 200, answer.text
    assert "Hello" in answer.json()["response"]
    assert answer.json()["response"].startswith("heard:")


@BOTH
async def test_l11_l13_l14_the_model_asked_for_is_asked_once(
    name: Name, opened: Opened, vendors: StandIns
) -> None:
    asked: dict[str, list[dict[str, Any]]] = {}
    async with opened(name, vendors.url) as person:
        await person.buy(2)
        for model in ("claude-3-haiku", "claude-3-5-sonnet", "gpt-4o-mini"):
            vendors.reset()
            assert (await person.talk("Hello", model=model)).status_code == 200
            asked[model] = _replies(vendors)
        vendors.reset()
        failed = await person.talk("[[fail]] Hello")
        tries = _replies(vendors)
    assert [len(bodies) for bodies in asked.values()] == [1, 1, 1]
    names = [bodies[0]["model"] for bodies in asked.values()]
    assert len(set(names)) == 3
    assert "max_tokens" not in asked["gpt-4o-mini"][0]  # of no use to newer models of OpenAI
    assert failed.status_code == 502
    assert len({body["model"] for body in tries}) == len(tries)  # no model is tried twice


def _replies(vendors: StandIns) -> list[dict[str, Any]]:
    """Bodies of the calls for replies, of all vendors of models."""
    rows = [
        *vendors.get("/_requests", vendor="anthropic"),
        *vendors.get("/_requests", vendor="openai"),
    ]
    paths = ("/messages", "/chat/completions")
    return [json.loads(row["body"]) for row in rows if row["path"].endswith(paths)]


@BOTH
async def test_l16_failures_are_told_apart(name: Name, opened: Opened) -> None:
    async with opened(name) as person:
        answers = {
            "failed": await person.talk("[[fail]]"),
            "late": await person.talk("[[timeout]]"),
            "refused": await person.talk("[[reject]]"),
            "no such model": await person.talk("a", model="gpt-9"),
            "tier": await person.talk("a", model="gpt-4o"),
        }
        for _ in range(5):
            await person.talk("a")
        answers["quota"] = await person.talk("a")
    found = {word: _told(answer) for word, answer in answers.items()}
    assert found == {
        "failed": (502, "PROVIDER_ERROR"),
        "late": (504, "PROVIDER_TIMEOUT"),
        "refused": (422, "CONTENT_REJECTED"),
        "no such model": (422, "VALIDATION_ERROR"),
        "tier": (402, "INSUFFICIENT_TIER"),
        "quota": (402, "INSUFFICIENT_QUOTA"),
    }


def _told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("name", ["monolith", "chat", "payments"])
async def test_l17_p27_health_asks_no_vendor(name: Name, opened: Opened, vendors: StandIns) -> None:
    vendors.reset()
    async with opened(name, vendors.url) as person:
        for path in ("/health", "/healthz", "/readyz"):
            assert (await person.client.get(path)).status_code in (200, 503)
        told = (await person.client.get("/health")).text
    assert vendors.get("/_requests") == []
    assert not any(word in told for word in ("stripe", "anthropic", "openai"))


@BOTH
async def test_l19_a_conversation_may_be_null_must_be_an_id_and_must_be_known(
    name: Name, opened: Opened
) -> None:
    async with opened(name) as person, opened(name) as other:
        theirs = (await other.talk("a")).json()["conversation_id"]
        answers = [
            await person.talk("a", conversation_id=value) for value in (None, "nonsense", theirs)
        ]
        mine = await person.ask("GET", "/api/chat/conversations")
    assert [answer.status_code for answer in answers] == [200, 422, 404]
    assert len(mine.json()["items"]) == 1  # no new one in the stranger's place


@pytest.mark.parametrize("name", ["monolith", "payments"])
async def test_p13_a_subscription_that_was_never_paid_gives_nothing(
    name: Name, opened: Opened
) -> None:
    async with opened(name) as person:
        await person.buy(2, "unpaid")  # what `incomplete` becomes
        before = (await person.ask("GET", "/api/payments/subscription")).json()
        await person.sql.execute(
            "UPDATE subscriptions SET status = 'active' WHERE user_id = $1", person.id
        )
        after = (await person.ask("GET", "/api/payments/subscription")).json()
    assert (before["tier"], after["tier"]) == (0, 2)
