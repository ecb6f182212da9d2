"""What goes over the wire is what RabbitMQ 3.10 and 4.x both take, method by method.

A 4.x broker refuses or changes several things that 3.10 allows (docs/deprecated-features). Here the
whole life of a message runs over a recording relay, and every method is held against those rules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pika import spec

from shared.events.broker import Message
from shared.events.envelope import Event
from shared.events.rabbitmq.inspection import broker_facts, differences, queue_states, taking
from shared.events.topology import consumer_topology
from shared.placement import Connection
from tests.integration.events.amqp_proxy import Recording, recording
from tests.integration.events.harness import LADDER, RabbitBus, World, deleted, until

#: Arguments that quorum queues of every version from 3.10 on know.
KNOWN_ARGUMENTS = {
    "x-queue-type", "x-delivery-limit", "x-message-ttl", "x-dead-letter-exchange",
    "x-dead-letter-routing-key", "x-dead-letter-strategy", "x-overflow",
}  # fmt: skip
#: Every method that is sent at all; transactions, flow control and recovery are not among them.
USED = (
    spec.Connection.StartOk, spec.Connection.TuneOk, spec.Connection.Open, spec.Connection.Close,
    spec.Connection.CloseOk, spec.Channel.Open, spec.Channel.Close, spec.Channel.CloseOk,
    spec.Exchange.Declare, spec.Exchange.Delete, spec.Queue.Declare, spec.Queue.Bind,
    spec.Queue.Unbind, spec.Queue.Delete, spec.Basic.Qos, spec.Basic.Consume, spec.Basic.Cancel,
    spec.Basic.CancelOk, spec.Basic.Publish, spec.Basic.Get, spec.Basic.Ack, spec.Basic.Nack,
    spec.Confirm.Select,
)  # fmt: skip


@pytest.fixture
async def wire(rabbitmq_url: str, events_dsn: str) -> AsyncIterator[Recording]:
    """Everything that a consumer, a relay and the tools send in the life of some messages."""
    async with recording(rabbitmq_url) as found:
        bus = RabbitBus(found.url)
        world = await World.open(events_dsn, bus)
        await _live(world, bus)
        await world.close()
        yield found


async def _live(world: World, bus: RabbitBus) -> None:
    """One good event, one that fails until it is parked, one that nobody hears, one look around."""

    async def picky(connection: Connection, event: Event) -> None:
        if event.data["media_id"].endswith("9"):
            raise KeyError("no such image")
        await world.note(connection, event)

    consumer = world.consumer({"media.deleted": picky})
    world.relay()
    good, bad = deleted(1), deleted(9)
    await world.publish(good, bad)
    dead = bus.names.dead("chat")

    async def parked() -> bool:
        return await bus.depth(dead) == 1 and await world.effects() == [good.id]

    await until(parked, 30)
    lost = Message(good.to_json(), str(good.id), good.type)
    await bus.rabbit.publisher.publish(bus.names.exchange, "nobody.listens", lost)
    await queue_states(bus.rabbit, [dead, "no.such.queue"])
    await broker_facts(bus.rabbit)
    topology = consumer_topology(bus.names, "chat", ["media.deleted"], ladder=LADDER)
    assert await differences(bus.rabbit, topology) == ()
    async with taking(bus.rabbit, dead, 5) as messages:  # looked at, and given back
        assert [str(bad.id)] == [delivery.message.message_id async for delivery in messages]
    await consumer.stop()


async def test_every_version_takes_every_method(wire: Recording) -> None:
    assert {type(method) for method in wire.methods} <= set(USED)
    _queues(wire)
    _consumers(wire)
    _messages(wire)
    for tuned in wire.of(spec.Connection.TuneOk):
        assert tuned.frame_max >= 8192  # 4.1 refuses less
        assert tuned.heartbeat > 0


def _queues(wire: Recording) -> None:
    declared = [queue for queue in wire.of(spec.Queue.Declare) if not queue.passive]
    assert len(declared) >= 5
    for queue in declared:
        # transient queues that are not exclusive, and mirrored ones, are refused or gone
        assert queue.durable
        assert not queue.auto_delete
        assert not queue.exclusive
        assert queue.arguments["x-queue-type"] == "quorum"
        assert set(queue.arguments) <= KNOWN_ARGUMENTS
        if ".wait." in queue.queue:  # never consumed: no delivery to count
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert queue.arguments["x-overflow"] == "reject-publish"
        else:  # from 4.0 a queue that says nothing drops after 20 deliveries
            assert queue.arguments["x-delivery-limit"] >= 100
    for exchange in wire.of(spec.Exchange.Declare):
        assert exchange.passive or (exchange.durable and not exchange.auto_delete)


def _consumers(wire: Recording) -> None:
    assert wire.of(spec.Basic.Consume)
    for qos in wire.of(spec.Basic.Qos):
        assert not qos.global_qos  # refused by 4.x
        assert 0 < qos.prefetch_count <= 2000
    # reject counts towards the delivery limit everywhere; giving back is no failure
    assert wire.of(spec.Basic.Reject) == []
    assert all(nack.requeue for nack in wire.of(spec.Basic.Nack))


def _messages(wire: Recording) -> None:
    published = wire.of(spec.Basic.Publish)
    assert len(published) >= 5  # two events, two waits, one parked, one lost
    for publish in published:
        assert publish.mandatory
        assert not publish.immediate  # never supported by quorum queues
    assert len(wire.of(spec.Confirm.Select)) >= 1
    for properties in wire.properties:
        assert properties.delivery_mode == 2
        # 4.x keeps `x-` headers of clients to itself: nothing of ours depends on one
        assert not [name for name in properties.headers or {} if name.startswith("x-")]
