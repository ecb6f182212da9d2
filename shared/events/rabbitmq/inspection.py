"""What can be learned from the broker over AMQP alone: depths, consumers, version; changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pika.channel

from shared.events.broker import Delivery
from shared.events.rabbitmq.broker import RabbitBroker
from shared.events.rabbitmq.declare import NOT_FOUND, declare, exists
from shared.events.rabbitmq.link import ChannelRefusedError, Connection, call, open_channel, within
from shared.events.rabbitmq.subscription import to_delivery
from shared.events.rabbitmq.versions import BrokerFacts, read_facts
from shared.events.topology import Topology


@dataclass(frozen=True, slots=True)
class QueueState:
    """Ready messages and consumers of a queue; None for a queue that does not exist."""

    name: str
    messages: int | None
    consumers: int = 0


async def queue_states(broker: RabbitBroker, names: Iterable[str]) -> tuple[QueueState, ...]:
    """The state of each queue, in order. Raises BrokerLostError."""
    seconds = broker.settings.rpc_seconds
    found: list[QueueState] = []
    async with broker.connection() as connection:
        channel: pika.channel.Channel | None = None
        for name in names:
            if channel is None or not channel.is_open:
                channel = await open_channel(connection, seconds)
            try:
                answer = await call(channel, "queue_declare", seconds, name, passive=True)
            except ChannelRefusedError as error:
                if error.code != NOT_FOUND:
                    raise
                found.append(QueueState(name, None))
                continue
            found.append(
                QueueState(name, answer.method.message_count, answer.method.consumer_count)
            )
    return tuple(found)


async def broker_facts(broker: RabbitBroker) -> BrokerFacts:
    """Product, version and capabilities as the broker states them. Raises BrokerLostError."""
    async with broker.connection() as connection:
        return read_facts(connection.server_properties)


async def differences(broker: RabbitBroker, topology: Topology) -> tuple[str, ...]:
    """What is missing or has other arguments, one line each; declares nothing that is missing."""
    seconds = broker.settings.rpc_seconds
    missing: list[str] = []
    exchanges, queues = [], []
    async with broker.connection() as connection:
        for exchange in topology.exchanges:
            if await exists(connection, "exchange_declare", exchange.name, seconds):
                exchanges.append(exchange)
            else:
                missing.append(f"exchange {exchange.name} is missing")
        for queue in topology.queues:
            if await exists(connection, "queue_declare", queue.name, seconds):
                queues.append(queue)
            else:
                missing.append(f"queue {queue.name} is missing")
        present = Topology(tuple(exchanges), tuple(queues), ())
        different = await _declare_quietly(connection, present, seconds)
    return (*missing, *different)


async def _declare_quietly(
    connection: Connection, topology: Topology, seconds: float
) -> tuple[str, ...]:
    from shared.events.errors import TopologyError

    try:
        await declare(connection, topology, seconds)
    except TopologyError as error:
        return error.problems
    return ()


@asynccontextmanager
async def taking(
    broker: RabbitBroker, queue: str, limit: int
) -> AsyncIterator[AsyncIterator[Delivery]]:
    """Messages of a queue one by one, at most as many as were in it at the start.

    What the block does not acknowledge goes back to its place in the queue at the end.
    """
    seconds = broker.settings.rpc_seconds
    async with broker.connection() as connection:
        channel = await open_channel(connection, seconds)
        answer = await call(channel, "queue_declare", seconds, queue, passive=True)
        wanted = min(limit, answer.method.message_count)
        yield _take(channel, queue, wanted, seconds)
        if channel.is_open:
            channel.basic_nack(0, multiple=True, requeue=True)  # everything that is unsettled
            await call(channel, "queue_declare", seconds, queue, passive=True)  # it has arrived


async def _take(
    channel: pika.channel.Channel, queue: str, wanted: int, seconds: float
) -> AsyncIterator[Delivery]:
    loop = asyncio.get_running_loop()
    empty = False

    def on_empty(_frame: object) -> None:
        nonlocal empty
        empty = True
        if not got.done():
            got.set_result(None)

    channel.add_callback(on_empty, [pika.spec.Basic.GetEmpty], one_shot=False)
    for _ in range(wanted):
        got: asyncio.Future[Delivery | None] = loop.create_future()

        def on_message(
            ch: pika.channel.Channel,
            method: pika.spec.Basic.GetOk,
            properties: pika.BasicProperties,
            body: bytes,
            got: asyncio.Future[Delivery | None] = got,
        ) -> None:
            if not got.done():
                got.set_result(to_delivery(ch, method, properties, body))

        channel.basic_get(queue, on_message)
        delivery = await within(got, seconds)
        if delivery is None or empty:
            return
        yield delivery
