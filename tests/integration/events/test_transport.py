"""What a connection to RabbitMQ must survive, beyond what memory can show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.events.broker import Message, Outcome
from shared.events.consumer import ConsumerSettings
from shared.events.envelope import Event
from shared.events.errors import BrokerLostError, EventError, TopologyError
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.inspection import broker_facts
from shared.events.rabbitmq.link import parameters
from shared.events.rabbitmq.versions import shortcomings
from shared.events.topology import Queue, Topology, quorum
from shared.placement import Connection
from tests.integration.events.harness import RabbitBus, World, deleted, until


def message(number: int) -> Message:
    event = deleted(number)
    return Message(event.to_json(), str(event.id), event.type)


async def test_a_channel_that_the_broker_closed_is_opened_again(rabbit_world: World) -> None:
    consumer = rabbit_world.consumer()
    await until(lambda: consumer.is_active)
    publisher = rabbit_world.bus.broker.publisher
    assert await publisher.wait_ready(5)
    with pytest.raises(BrokerLostError):
        await publisher.publish("no.such.exchange", "x", message(1))
    assert await publisher.wait_ready(5)
    sent = await publisher.publish(rabbit_world.bus.names.exchange, "media.deleted", message(2))
    assert sent is Outcome.CONFIRMED


async def test_what_is_in_flight_when_the_connection_ends_fails_instead_of_waiting(
    rabbit_world: World,
) -> None:
    consumer = rabbit_world.consumer()
    await until(lambda: consumer.is_active)
    publisher = rabbit_world.bus.broker.publisher
    assert await publisher.wait_ready(5)
    exchange = rabbit_world.bus.names.exchange
    flying = [publisher.publish(exchange, "media.deleted", message(n)) for n in range(50)]
    await rabbit_world.bus.cut_connections()
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(*flying, return_exceptions=True)
    assert all(
        outcome is Outcome.CONFIRMED or isinstance(outcome, BrokerLostError) for outcome in outcomes
    )


async def test_many_tasks_share_one_connection(rabbit_world: World) -> None:
    consumer = rabbit_world.consumer({"user.deleted": rabbit_world.note})
    await until(lambda: consumer.is_active)
    await consumer.stop()
    publisher, exchange = rabbit_world.bus.broker.publisher, rabbit_world.bus.names.exchange
    assert await publisher.wait_ready(5)

    async def publish_some(start: int) -> list[Outcome]:
        return [
            await publisher.publish(exchange, "user.deleted", message(start + n))
            for n in range(100)
        ]

    outcomes = await asyncio.gather(*(publish_some(start * 100) for start in range(8)))
    assert {outcome for batch in outcomes for outcome in batch} == {Outcome.CONFIRMED}
    await until(lambda: _holds(rabbit_world, 800))


async def test_confirm_and_return_are_told_apart_in_one_pipeline(rabbit_world: World) -> None:
    consumer = rabbit_world.consumer()
    await until(lambda: consumer.is_active)
    await rabbit_world.bus.delete_queue(rabbit_world.bus.names.unrouted)
    publisher, exchange = rabbit_world.bus.broker.publisher, rabbit_world.bus.names.exchange
    assert await publisher.wait_ready(5)
    keys = ["media.deleted" if n % 3 else "nobody.listens" for n in range(90)]
    outcomes = await asyncio.gather(
        *(publisher.publish(exchange, key, message(n)) for n, key in enumerate(keys))
    )
    expected = [Outcome.CONFIRMED if n % 3 else Outcome.RETURNED for n in range(90)]
    assert outcomes == expected


@pytest.fixture
async def short_heartbeat(rabbitmq_url: str, events_dsn: str) -> AsyncIterator[World]:
    world = await World.open(events_dsn, RabbitBus(rabbitmq_url, heartbeat_seconds=1))
    yield world
    await world.close()


async def test_a_handler_slower_than_two_heartbeats_keeps_its_connection(
    short_heartbeat: World,
) -> None:
    runs = 0

    async def slow(connection: Connection, event: Event) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(3.0)
        await short_heartbeat.note(connection, event)

    consumer = short_heartbeat.consumer({"media.deleted": slow})
    short_heartbeat.relay()
    await until(lambda: consumer.is_active)
    channel = short_heartbeat.bus.broker._subscriptions[0]._channel  # type: ignore[attr-defined]
    event = deleted(1)
    await short_heartbeat.publish(event)

    async def done() -> bool:
        return await short_heartbeat.effects() == [event.id]

    await until(done)
    assert runs == 1
    assert channel.is_open


async def test_nothing_connects_before_it_is_needed_and_an_absent_broker_is_waited_for() -> None:
    broker = RabbitBroker(BrokerSettings("amqp://guest:guest@127.0.0.1:1/%2F"))
    assert not broker.publisher.is_ready
    assert not await broker.publisher.wait_ready(0.3)
    with pytest.raises(BrokerLostError):
        await broker.publisher.publish("", "x", message(1))
    await broker.close()


async def test_a_queue_of_another_kind_is_named_with_the_way_out(rabbit_world: World) -> None:
    consumer = rabbit_world.consumer()
    await until(lambda: consumer.is_active)
    queue = rabbit_world.bus.names.queue("chat")
    wrong = Topology((), (Queue(queue, quorum(delivery_limit=3)),), ())
    with pytest.raises(TopologyError) as caught:
        await rabbit_world.bus.broker.declare(wrong)
    (problem,) = caught.value.problems
    assert queue in problem
    assert "x-delivery-limit=3" in problem
    assert "migrate events topology --apply" in problem


async def test_the_broker_states_its_version(rabbit_world: World) -> None:
    rabbit: Any = rabbit_world.bus.broker
    consumer = rabbit_world.consumer()
    await until(lambda: consumer.is_active)
    facts = await broker_facts(rabbit)
    assert facts.product == "RabbitMQ"
    assert shortcomings(facts) == ()


def test_an_address_is_read_whole_and_a_wrong_one_shows_no_password() -> None:
    read = parameters(
        BrokerSettings("amqps://us%40er:pa%2Fss@broker.example/my%2Fhost?heartbeat=7"), "publish"
    )
    assert (read.host, read.port, read.virtual_host, read.heartbeat) == (
        "broker.example",
        5671,
        "my/host",
        7,
    )
    assert (read.credentials.username, read.credentials.password) == ("us@er", "pa/ss")
    assert read.ssl_options is not None
    with pytest.raises(EventError) as caught:
        parameters(BrokerSettings("http://user:secret-word@broker"), "publish")
    assert "secret-word" not in str(caught.value)


def test_consumers_work_on_many_messages_at_once_by_default() -> None:
    settings = ConsumerSettings()
    assert settings.prefetch >= settings.lanes * settings.batch_rows


async def _holds(world: World, count: int) -> bool:
    return await world.bus.depth(world.bus.names.queue("chat")) == count
