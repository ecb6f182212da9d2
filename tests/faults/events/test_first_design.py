"""The faults E1 to E13 and C1 to C14 of the first design: it shows them, ours does not.

Where only one side is run here, `tests/faults/first_design/faults.py` names the test of the other.
"""

from __future__ import annotations

import asyncio
import io
import json
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pika
import pytest
import redis
import structlog
from pydantic import ValidationError
from pydantic.warnings import PydanticDeprecatedSince20

from shared.auth.accounts import Tiers
from shared.cache import Cache
from shared.events import outbox
from shared.events.consumer import ConsumerSettings
from shared.events.envelope import Event, new_event, read_event
from shared.observability.context import request_scope
from shared.observability.logs import configure_logs
from shared.placement import open_pools
from shared.redis_connection import open_redis
from tests.faults.events.first_design import FirstConsumer, FirstEvent, FirstPublisher
from tests.integration.events.harness import TABLES, RabbitBus, World, deleted, until
from tests.support.platform_database import one_for_all
from tests.support.sample_service import user_row

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def events_dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url, schema=TABLES) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url) as dsn:
        yield dsn


@pytest.fixture
async def ours(rabbitmq_url: str, events_dsn: str) -> AsyncIterator[World]:
    world = await World.open(events_dsn, RabbitBus(rabbitmq_url, heartbeat_seconds=1))
    yield world
    await world.close()


@pytest.fixture
async def first(rabbitmq_url: str) -> AsyncIterator[FirstPublisher]:
    made = await asyncio.to_thread(_publisher, rabbitmq_url)
    yield made
    await asyncio.to_thread(made.close)


def _publisher(url: str) -> FirstPublisher:
    return FirstPublisher(_with_heartbeat(url), f"first.{uuid4().hex[:8]}")


def _with_heartbeat(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}heartbeat=1"


async def _depth(first: FirstPublisher, queue: str) -> int:
    return await asyncio.to_thread(first.depth, queue)


async def test_e1_what_is_committed_while_the_broker_is_away_arrives_later(
    ours: World, first: FirstPublisher
) -> None:
    event = deleted(1)
    await ours.publish(event)  # nobody has a connection to the broker yet
    ours.consumer()
    ours.relay()
    await until(lambda: _has(ours, event))
    queue = await asyncio.to_thread(first.queue)
    first.channel.close()
    first.publish(FirstEvent.new("u1"))  # no error, and no event
    assert await _depth(first, queue) == 0


async def test_e2_a_transaction_that_is_rolled_back_publishes_nothing(
    ours: World, first: FirstPublisher
) -> None:
    async def fails(connection: asyncpg.Connection) -> None:
        await outbox.add(connection, deleted(1))
        raise LookupError

    with pytest.raises(LookupError):
        await ours.database.transaction(fails)
    assert await ours.unsent() == 0
    queue = await asyncio.to_thread(first.queue)
    async with ours.database.shared.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        first.publish(FirstEvent.new("u1"))
        await transaction.rollback()
    await until(lambda: _first_has(first, queue, 1))  # a ghost


async def test_e3_an_event_that_nobody_hears_is_kept_and_seen(
    ours: World, first: FirstPublisher
) -> None:
    consumer = ours.consumer({"user.deleted": ours.note})
    await until(lambda: consumer.is_active)
    ours.relay()
    await ours.publish(deleted(1))
    await until(lambda: _holds(ours, ours.bus.names.unrouted, 1))
    first.publish(FirstEvent.new("u1"))  # before the first consumer has made its queue
    queue = await asyncio.to_thread(first.queue)
    assert await _depth(first, queue) == 0


async def test_e4_a_publisher_that_idled_for_several_heartbeats_loses_nothing(
    ours: World, first: FirstPublisher
) -> None:
    consumer = ours.consumer()
    await until(lambda: consumer.is_active)
    publisher = ours.bus.broker.publisher
    assert await publisher.wait_ready(5)
    queue = await asyncio.to_thread(first.queue)
    await asyncio.sleep(5.0)
    assert publisher.is_ready
    ours.relay()
    event = deleted(1)
    await ours.publish(event)
    await until(lambda: _has(ours, event))
    await asyncio.to_thread(first.publish, FirstEvent.new("u1"))
    assert await _depth(first, queue) == 0


async def test_e5_a_channel_that_the_broker_has_closed_is_not_the_end(
    first: FirstPublisher,
) -> None:
    queue = await asyncio.to_thread(first.queue)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        await asyncio.to_thread(first.channel.queue_declare, "no.such.queue", passive=True)
    for _ in range(5):
        first.publish(FirstEvent.new("u1"))
    assert not first.connection.is_closed  # so it never connects again
    assert await _depth(first, queue) == 0


async def test_e8_only_the_first_design_needs_the_broker_to_start() -> None:
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        await asyncio.to_thread(FirstPublisher, "amqp://guest:guest@127.0.0.1:1/%2F", "x")


def test_e9_times_have_a_zone() -> None:
    sent = json.loads(deleted(1).to_json())["time"]
    assert abs((datetime.fromisoformat(sent) - datetime.now(UTC)).total_seconds()) < 60
    naive = json.loads(FirstEvent.new("u1").model_dump_json())["timestamp"]
    assert datetime.fromisoformat(naive).tzinfo is None


def test_e10_nothing_deprecated_writes_the_body() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert deleted(1).to_json()
        with pytest.raises(PydanticDeprecatedSince20):
            FirstEvent.new("u1").json()


@pytest.mark.parametrize("user", [uuid4(), None])
def test_e11_users_come_as_the_database_gives_them(user: UUID | None) -> None:
    event = new_event("media.deleted", source="media", subject=user, data={"media_id": uuid4()})
    assert read_event(event.to_json()).subject == (None if user is None else str(user))
    with pytest.raises(ValidationError):
        FirstEvent.new(user)


def test_e12_a_type_that_is_not_known_here_can_be_read() -> None:
    body = deleted(1).to_json().replace(b"media.deleted", b"media.invented")
    assert read_event(body).type == "media.invented"
    sent = FirstEvent.new("u1").model_dump_json().replace("media.deleted", "media.invented")
    with pytest.raises(ValidationError):
        FirstEvent.model_validate_json(sent)


def test_e13_the_envelope_says_version_source_key_and_trace() -> None:
    with request_scope("request-1", TRACEPARENT):
        ours = json.loads(deleted(1).to_json())
    assert (ours["specversion"], ours["version"], ours["source"]) == ("1.0", 1, "/media")
    assert (ours["requestid"], ours["traceparent"]) == ("request-1", TRACEPARENT)
    assert deleted(1).partition_key == ours["subject"]
    assert not {"version", "source", "traceparent"} & set(FirstEvent.model_fields)


async def test_c2_a_message_that_fails_does_not_spin_and_holds_up_nobody(
    first: FirstPublisher, rabbitmq_url: str
) -> None:
    handled: list[str] = []

    def picky(event: dict[str, Any]) -> None:
        if event["data"]["bad"]:
            raise KeyError("no such room")
        handled.append(event["event_id"])

    queue = await asyncio.to_thread(first.queue)
    for bad in (True, False):
        first.publish(FirstEvent.new("u1", {"bad": bad}))
    await until(lambda: _first_has(first, queue, 2))
    consumer = await asyncio.to_thread(FirstConsumer, rabbitmq_url, queue, picky)
    await until(lambda: consumer.runs > 200)  # ours: one run per rung of the ladder
    assert handled == []  # ours: everybody else is handled
    await asyncio.to_thread(consumer.close)


async def test_c3_an_effect_and_the_note_of_it_are_one(
    first: FirstPublisher, rabbitmq_url: str
) -> None:
    effects: list[str] = []

    class DyingCache(redis.Redis):
        def exists(self, *_names: Any) -> bool:  # type: ignore[override]
            return False

        def set(self, *_arguments: Any, **_options: Any) -> None:  # type: ignore[override]
            if len(effects) < 3:
                raise ConnectionError("died between the effect and the mark")

    queue = await asyncio.to_thread(first.queue)
    first.publish(FirstEvent.new("u1"))
    consumer = await asyncio.to_thread(
        FirstConsumer, rabbitmq_url, queue, lambda e: effects.append(e["event_id"]), DyingCache()
    )
    await until(lambda: len(effects) == 3)  # one event, three effects
    await asyncio.to_thread(consumer.close)


async def test_c4_two_services_that_share_a_cache_both_handle_an_event(
    first: FirstPublisher, rabbitmq_url: str, redis_url: str
) -> None:
    cache = redis.Redis.from_url(redis_url)
    handled: list[str] = []
    consumers = []
    queues = [await asyncio.to_thread(first.queue) for _ in range(2)]
    event = FirstEvent.new("u1")
    first.publish(event)
    for name, queue in zip(("chat", "media"), queues, strict=True):
        made = await asyncio.to_thread(
            FirstConsumer, rabbitmq_url, queue, lambda _e, n=name: handled.append(n), cache
        )
        consumers.append(made)
        await until(lambda made=made: made.runs == 1)
        await until(lambda: cache.exists(f"processed:{event.event_id}"))
        await asyncio.to_thread(made.close)
    assert handled == ["chat"]  # ours: both
    cache.delete(f"processed:{event.event_id}")
    cache.close()


async def test_c5_a_handler_slower_than_two_heartbeats_keeps_its_connection(
    first: FirstPublisher, rabbitmq_url: str
) -> None:
    effects: list[str] = []

    def slow(event: dict[str, Any]) -> None:
        import time

        effects.append(event["event_id"])
        time.sleep(4.0)

    queue = await asyncio.to_thread(first.queue)
    first.publish(FirstEvent.new("u1"))
    consumer = await asyncio.to_thread(FirstConsumer, _with_heartbeat(rabbitmq_url), queue, slow)
    await until(lambda: not consumer.thread.is_alive(), 30)
    await until(lambda: _first_has(first, queue, 1))  # handled, and there once more
    assert len(effects) == 1


async def test_c6_a_consumer_whose_connection_was_cut_works_on(
    first: FirstPublisher, rabbitmq_url: str, ours: World
) -> None:
    queue = await asyncio.to_thread(first.queue)
    consumer = await asyncio.to_thread(FirstConsumer, rabbitmq_url, queue, lambda _event: None)
    consumer.connection._impl._transport._sock.shutdown(2)  # both ways
    await until(lambda: not consumer.thread.is_alive())
    first.publish(FirstEvent.new("u1"))
    await until(lambda: _first_has(first, queue, 1))  # for ever
    mine = ours.consumer()
    await until(lambda: mine.is_active)
    await ours.bus.cut_connections()
    ours.relay()
    event = deleted(1)
    await ours.publish(event)
    await until(lambda: _has(ours, event), 30)


async def test_c7_starting_a_consumer_twice_makes_one(ours: World) -> None:
    consumer = ours.consumer()
    consumer.start()
    await until(lambda: consumer.is_active)
    assert len(ours.bus.broker._subscriptions) == 1  # type: ignore[attr-defined]


async def test_c8_a_consumer_may_come_before_every_publisher(
    ours: World, rabbitmq_url: str
) -> None:
    consumer = ours.consumer()  # on a broker that has not even the exchange
    await until(lambda: consumer.is_active)

    def bind_first() -> None:
        with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, f"never.{uuid4().hex}", "#")

    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        await asyncio.to_thread(bind_first)


async def test_c9_c10_what_an_event_makes_old_is_what_is_read_next(
    redis_url: str, platform_dsn: str
) -> None:
    cache = open_redis(redis_url)
    user_id = uuid4()
    await cache.set(f"first:user:{user_id}:quota", "5", ex=60)
    assert await cache.delete(f"first:user:{user_id}:*") == 0  # DEL knows no patterns
    assert (
        await cache.delete(f"first:quota:{user_id}") == 0
    )  # and this is not the name that is read
    await cache.delete(f"first:user:{user_id}:quota")
    connection = await asyncpg.connect(platform_dsn)
    await connection.execute(
        "INSERT INTO users (id, email, referral_code) VALUES ($1, $2, $3)", *user_row(user_id)
    )
    pools = await open_pools("test", shared_dsn=platform_dsn)
    tiers = Tiers(pools.shared, Cache(cache))
    assert await tiers.tier(user_id) == 0
    await connection.execute(
        "INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id,"
        " tier, status) VALUES ($1, 'stripe', $2, 'price_pro', 1, 'active')",
        user_id,
        f"sub_{user_id}",
    )
    assert await tiers.tier(user_id) == 0  # cached, as the contract allows
    await tiers.forget(user_id)  # what every worker does on subscription.*
    assert await tiers.tier(user_id) == 1
    await connection.close()
    await pools.close()
    await cache.aclose()


def test_c13_a_consumer_has_many_messages_in_hand() -> None:
    settings = ConsumerSettings()
    assert settings.prefetch >= 2 * settings.lanes
    assert settings.batch_rows > 1


async def test_c14_lines_of_a_handler_name_event_request_and_trace_and_no_person(
    ours: World,
) -> None:
    lines = io.StringIO()
    configure_logs("info", service="chat-worker", stream=lines)

    async def handle(connection: asyncpg.Connection, event: Event) -> None:
        structlog.get_logger("test").info("erased", email_token="secret-word")
        await ours.note(connection, event)

    with request_scope("request-1", TRACEPARENT):
        event = deleted(1)
    ours.consumer({"media.deleted": handle})
    ours.relay()
    await ours.publish(event)
    await until(lambda: _has(ours, event))
    structlog.reset_defaults()
    found = [json.loads(line) for line in lines.getvalue().splitlines() if '"erased"' in line]
    assert (found[0]["event_id"], found[0]["request_id"]) == (str(event.id), "request-1")
    assert found[0]["trace_id"] == TRACEPARENT.split("-")[1]
    assert "secret-word" not in lines.getvalue()


async def _has(world: World, event: Event) -> bool:
    return event.id in await world.effects()


async def _holds(world: World, queue: str, count: int) -> bool:
    return await world.bus.depth(queue) == count


async def _first_has(first: FirstPublisher, queue: str, count: int) -> bool:
    return await _depth(first, queue) == count
