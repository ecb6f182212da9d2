"""Events from the outbox to the handlers: once, through the broker, whatever fails."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from monolith.context import Context
from monolith.database import Connection
from monolith.domain import Domain, Event
from monolith.domains import DOMAINS
from monolith.events.link import Link, open_link
from monolith.events.publisher import Outgoing, Publisher
from monolith.events.topology import ATTEMPT, REASON, WAIT_SECONDS, Names, queues
from monolith.settings import Settings
from monolith.worker import Worker
from tests.support.people import People

WAIT = 20


@pytest.fixture
async def names(rabbitmq_url: str) -> AsyncIterator[Names]:
    """Exchange and queues of the test's own, removed afterwards."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    names = Names(f"{prefix}.events", f"{prefix}.monolith.events")
    yield names
    link = await open_link(rabbitmq_url, "tests")
    for queue in (*queues(names), names.unrouted):
        await link.ask(link.channel.queue_delete, queue=queue)
    for exchange in (names.exchange, names.unrouted):
        await link.ask(link.channel.exchange_delete, exchange=exchange)
    await link.close()


@pytest.fixture
async def link(rabbitmq_url: str) -> AsyncIterator[Link]:
    link = await open_link(rabbitmq_url, "tests")
    yield link
    await link.close()


class Running:
    """A worker with a broker, as long as the block lasts."""

    def __init__(self, settings: Settings, names: Names, url: str, domains: Any = DOMAINS) -> None:
        self.worker = Worker(
            replace(
                settings,
                rabbitmq_url=url,
                events_exchange=names.exchange,
                events_queue=names.queue,
            ),
            domains,
        )
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Worker:
        self._task = asyncio.create_task(self.worker.run(self._stop))
        return self.worker

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task


async def until(database: asyncpg.Connection, query: str, *arguments: object) -> Any:
    """The first true value of a query."""
    async with asyncio.timeout(WAIT):
        while True:
            value = await database.fetchval(query, *arguments)
            if value:
                return value
            await asyncio.sleep(0.05)


async def emit(database: asyncpg.Connection, kind: str, user: str | None, data: Any) -> uuid.UUID:
    event: uuid.UUID = await database.fetchval(
        "SELECT emit_event($1, $2, $3, 'auth')", kind, user, json.dumps(data)
    )
    return event


async def test_events_travel_through_the_broker_and_are_applied_once(
    settings: Settings,
    names: Names,
    rabbitmq_url: str,
    people: People,
    database: asyncpg.Connection,
    link: Link,
) -> None:
    ana = await people.new()
    async with Running(settings, names, rabbitmq_url) as worker:
        await ana.talk("hello")
        await until(
            database, "SELECT message_count = 1 FROM user_analytics WHERE user_id = $1", ana.id
        )
        await until(database, "SELECT bool_and(sent_at IS NOT NULL) FROM outbox")
        body = await database.fetchval("SELECT body FROM outbox WHERE type = 'message.sent'")
        publisher = Publisher(link)
        await publisher.start()
        again = Outgoing(names.exchange, "message.sent", body.encode(), "again", "message.sent")
        assert await publisher.publish([again]) == ["confirmed"]
        async with asyncio.timeout(WAIT):
            while worker.dispatcher.counts["duplicate"] < 2:  # payments and analytics
                await asyncio.sleep(0.02)
        name = await database.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'monolith/worker'"
            " AND datname = current_database()"
        )
        assert name > 0
    stats = (await ana.get("/api/analytics/users/me")).json()
    assert stats["message_count"] == 1


async def test_a_failing_handler_waits_and_what_cannot_be_read_is_parked(
    settings: Settings,
    names: Names,
    rabbitmq_url: str,
    people: People,
    database: asyncpg.Connection,
    link: Link,
) -> None:
    ana = await people.new()
    tries: list[str] = []

    async def fail(_context: Context, connection: Connection, event: Event) -> None:
        tries.append(event.type)
        await connection.execute("DELETE FROM user_profiles")
        raise RuntimeError("no luck")

    failing = Domain("auth", DOMAINS[0].router, handlers={"user.created": fail})
    async with Running(settings, names, rabbitmq_url, (failing,)):
        await emit(database, "user.created", ana.id, {})
        await until(database, "SELECT bool_and(sent_at IS NOT NULL) FROM outbox")
        waiting = await _take(link, names.wait(WAIT_SECONDS[0]))
        assert waiting.headers[ATTEMPT] == 1
        assert tries == ["user.created"]
        publisher = Publisher(link)
        await publisher.start()
        good = await database.fetchval("SELECT body FROM outbox")
        newer = json.loads(good) | {"version": 2, "id": str(uuid.uuid4())}
        last = {ATTEMPT: len(WAIT_SECONDS)}
        for text, headers, reason in (
            ("{", {}, "unreadable"),
            (json.dumps(newer), {}, "version"),
            (good, last, "failed"),
        ):
            message = Outgoing(
                names.exchange, "user.created", text.encode(), "m", "user.created", headers
            )
            assert await publisher.publish([message]) == ["confirmed"]
            assert (await _take(link, names.dead)).headers[REASON] == reason
    assert await database.fetchval("SELECT count(*) FROM inbox") == 0
    assert await database.fetchval("SELECT count(*) FROM user_profiles") == 1


async def _take(link: Link, queue: str) -> Any:
    """The properties of the next message of a queue, taken out of it."""
    async with asyncio.timeout(WAIT):
        while True:
            got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

            def settle(
                _channel: Any, method: Any, properties: Any, _body: bytes, got: Any = got
            ) -> None:
                got.set_result(properties)

            empty = asyncio.get_running_loop().call_later(0.3, got.cancel)
            link.channel.basic_get(queue, settle, auto_ack=True)
            try:
                return await got
            except asyncio.CancelledError:
                if not got.cancelled():
                    raise
            finally:
                empty.cancel()


async def test_a_domain_that_has_moved_away_leaves_its_events_to_its_own_queue(
    people: People, events: Worker, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await database.execute(
        "CREATE FUNCTION fence() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'moved' USING ERRCODE = 'SP001'; END $$;"
        "CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON user_analytics"
        " FOR EACH STATEMENT EXECUTE FUNCTION fence();"
    )
    data = {
        "email": ana.email,
        "name": None,
        "provider": "email",
        "referral_code": "A",
        "referred_by": None,
    }
    await emit(database, "user.created", ana.id, data)
    await events.settle()
    await database.execute("DROP FUNCTION fence() CASCADE")
    assert events.dispatcher.counts["moved"] == 1
    consumers = [r["consumer"] for r in await database.fetch("SELECT consumer FROM inbox")]
    assert consumers == ["community"]
    assert await database.fetchval("SELECT sent_at IS NOT NULL FROM outbox") is True


async def test_without_a_broker_a_failing_event_waits_in_the_outbox(
    settings: Settings, people: People, database: asyncpg.Connection
) -> None:
    async def fail(_context: Context, _connection: Connection, _event: Event) -> None:
        raise RuntimeError("no luck")

    failing = Domain("auth", DOMAINS[0].router, handlers={"user.created": fail})
    worker = Worker(settings, (failing,))
    async with worker.opened():
        await emit(database, "user.created", None, {})
        await emit(database, "nobody.listens", None, {})
        await worker.settle()
    rows = await database.fetch(
        "SELECT type, sent_at, attempts, last_error FROM outbox ORDER BY id"
    )
    assert rows[0]["sent_at"] is None
    assert (rows[0]["attempts"], rows[0]["last_error"]) == (1, "RuntimeError: no luck")
    assert rows[1]["sent_at"] is not None


async def test_an_erased_account_is_gone_from_every_table(
    people: People, events: Worker, database: asyncpg.Connection, settings: Settings
) -> None:
    ana, ben = await people.new(tier=2), await people.new()
    image = await ana.upload()
    reply = await ana.talk("hello")
    await ana.put(
        f"/api/chat/messages/{reply['message_id']}/reaction", json={"reaction_type": "like"}
    )
    body = {"characters": ["A"], "title": "T", "content": "x"}
    for person in (ana, ben):
        story = (await person.post("/api/story/drafts", json=body)).json()["id"]
        await person.post(f"/api/story/stories/{story}/publish")
        await ana.put(f"/api/story/stories/{story}/like", json={})
    vote = {"target_type": "story", "target_id": story, "value": 1}
    await ana.put("/api/story/votes", json=vote)
    room = (await ana.post("/api/story/rooms", json={"name": "R"})).json()
    await ben.post("/api/story/rooms/join", json={"code": room["join_code"]})
    await ana.post("/api/story/scenarios", json={"title": "S"})
    character = {"name": "C", "publish": True, "image_media_id": image["id"]}
    await ana.post("/api/story/characters", json=character)
    await ana.post("/api/analytics/users/me/streak/check-in")
    await ana.post("/api/analytics/events", json={"events": [{"name": "x"}]})
    await events.settle()
    assert (await ana.delete("/api/auth/users/me")).status_code == 204
    await events.settle()
    left = await database.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema ="
        " 'public' AND column_name IN ('user_id', 'creator_id') AND table_name IN (SELECT"
        " tablename FROM pg_tables WHERE schemaname = 'public')"
    )
    found = {
        row["table_name"]
        for row in left
        if await database.fetchval(
            f"SELECT count(*) FROM {row['table_name']} WHERE {row['column_name']} = $1",
            uuid.UUID(ana.id),
        )
    }
    # Revoked tokens and the ended subscription stay, and Ben's room remembers who made it.
    assert found <= {"refresh_tokens", "subscriptions", "fandom_rooms"}
    assert await database.fetchval("SELECT status FROM subscriptions") == "cancelled"
    assert not list(settings.media_dir.rglob("*-*"))
    shown = (await ben.get(f"/api/story/rooms/{room['id']}")).json()
    assert shown["creator"] == {"user_id": None, "name": "Deleted user", "avatar_url": None}
    assert (shown["member_count"], shown["is_member"]) == (1, True)
    liked = (await ben.get(f"/api/story/stories/{story}")).json()
    assert liked["like_count"] == 0
