"""What the event tests share: a bus on either broker, a database with outbox and inbox, effects."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import asyncpg

from shared.events.broker import Broker, Message
from shared.events.catalogue import shipped_catalogue
from shared.events.consumer import Consumer, ConsumerSettings, Handler
from shared.events.envelope import Event, new_event
from shared.events.memory import MemoryBroker, queue_depth
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.link import ChannelRefusedError, call, open_channel
from shared.events.rabbitmq.subscription import to_delivery
from shared.events.relay import Relay, RelaySettings
from shared.events.topology import Names
from shared.placement import Connection, Database, FixedPlacement, PoolSettings, open_pools

TABLES = """
CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id uuid NOT NULL UNIQUE, type text NOT NULL,
  partition_key text NOT NULL, body jsonb NOT NULL, headers jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(), deliver_after timestamptz, attempts integer NOT NULL DEFAULT 0,
  last_error text, sent_at timestamptz);
CREATE INDEX outbox_due ON outbox (id) WHERE sent_at IS NULL;
CREATE TABLE inbox (consumer text NOT NULL, event_id uuid NOT NULL, type text NOT NULL,
  handled_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (consumer, event_id));
CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id uuid NOT NULL,
  note text NOT NULL DEFAULT '');
"""
LADDER = (0.05, 0.1)


class Bus(Protocol):
    """A broker of either kind and what a test asks of it."""

    broker: Broker
    names: Names

    async def depth(self, queue: str) -> int: ...

    async def peek(self, queue: str) -> list[Message]: ...

    async def cut_connections(self) -> None: ...

    async def delete_queue(self, queue: str) -> None: ...

    async def close(self) -> None: ...


class MemoryBus:
    def __init__(self) -> None:
        self.memory = MemoryBroker()
        self.broker: Broker = self.memory
        self.names = Names("test")

    async def depth(self, queue: str) -> int:
        return queue_depth(self.memory, queue)

    async def peek(self, queue: str) -> list[Message]:
        return [message for _key, message in self.memory.queues[queue].messages]

    async def cut_connections(self) -> None:
        self.memory.cut_connections()

    async def delete_queue(self, queue: str) -> None:
        self.memory.delete_queue(queue)

    async def close(self) -> None:
        await self.memory.close()


class RabbitBus:
    """RabbitMQ under a prefix of its own, removed at the end."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.settings = BrokerSettings(url, name="test", longest_pause_seconds=0.5, **settings)
        self.rabbit = RabbitBroker(self.settings)
        self.broker: Broker = self.rabbit
        self.names = Names("test", f"t{uuid.uuid4().hex[:10]}.")

    async def depth(self, queue: str) -> int:
        async with self.rabbit.connection() as connection:
            channel = await open_channel(connection, 5)
            try:
                answer = await call(channel, "queue_declare", 5, queue, passive=True)
            except ChannelRefusedError:
                return 0
            return int(answer.method.message_count)

    async def peek(self, queue: str) -> list[Message]:
        found: list[Message] = []
        async with self.rabbit.connection() as connection:
            channel = await open_channel(connection, 5)
            for _ in range(await self.depth(queue)):
                got: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
                channel.basic_get(
                    queue,
                    lambda ch, method, properties, body, got=got: got.set_result(
                        to_delivery(ch, method, properties, body).message
                    ),
                )
                async with asyncio.timeout(5):
                    found.append(await got)
        return found

    async def cut_connections(self) -> None:
        for owner in (self.rabbit.publisher, *self.rabbit._subscriptions):
            if (channel := owner._channel) is not None:
                channel.connection._transport._sock.shutdown(socket.SHUT_RDWR)

    async def delete_queue(self, queue: str) -> None:
        async with self.rabbit.connection() as connection:
            channel = await open_channel(connection, 5)
            await call(channel, "queue_delete", 5, queue)

    async def close(self) -> None:
        await self.rabbit.close()
        async with self.rabbit.connection() as connection:
            channel = await open_channel(connection, 5)
            for consumer in ("chat", "media", "worker"):
                queue = self.names.queue(consumer)
                waits = [self.names.wait(consumer, seconds) for seconds in LADDER]
                for name in (queue, self.names.dead(consumer), *waits):
                    await call(channel, "queue_delete", 5, name)
            await call(channel, "queue_delete", 5, self.names.unrouted)
            for exchange in (self.names.exchange, self.names.unrouted):
                await call(channel, "exchange_delete", 5, exchange)


class World:
    """A database with outbox, inbox and effects, and factories for relays and consumers on it."""

    def __init__(self, dsn: str, database: Database, bus: Bus) -> None:
        self.dsn = dsn
        self.database = database
        self.bus = bus
        self._relays: list[tuple[Relay, asyncio.Task[None]]] = []
        self._consumers: list[Consumer] = []

    @classmethod
    async def open(cls, dsn: str, bus: Bus) -> World:
        """A world on a database that has TABLES; they are emptied."""
        connection = await asyncpg.connect(dsn)
        await connection.execute("TRUNCATE outbox, inbox, effects")
        await connection.close()
        pools = await open_pools("test", shared_dsn=dsn, settings=PoolSettings(max_size=8))
        return cls(dsn, Database("chat", pools, FixedPlacement()), bus)

    def relay(self, **settings: Any) -> Relay:
        """A running relay; it begins when every consumer is bound, as in a worker."""
        relay = Relay(
            self.database.shared,
            self.bus.broker.publisher,
            self.bus.names.exchange,
            settings=RelaySettings(**{"poll_seconds": 0.05, "first_pause_seconds": 0.2} | settings),
        )

        async def run() -> None:
            for consumer in list(self._consumers):
                assert await consumer.wait_active(15)
            await relay.run()

        self._relays.append((relay, asyncio.create_task(run())))
        return relay

    def consumer(
        self,
        handlers: Mapping[str, Handler] | None = None,
        *,
        name: str = "chat",
        **settings: Any,
    ) -> Consumer:
        """A started consumer; without handlers it notes every `media.deleted` as an effect."""
        consumer = Consumer(
            name,
            {"media.deleted": self.note} if handlers is None else handlers,
            database=self.database,
            broker=self.bus.broker,
            names=self.bus.names,
            settings=ConsumerSettings(
                **{"ladder": LADDER, "outage_pause_seconds": 0.05, "outage_longest_seconds": 0.2}
                | settings
            ),
            catalogue=shipped_catalogue(),
        )
        self._consumers.append(consumer)
        consumer.start()
        return consumer

    async def note(self, connection: Connection, event: Event) -> None:
        """The usual effect: one row per event."""
        await connection.execute("INSERT INTO effects (event_id) VALUES ($1)", event.id)

    async def publish(self, *events: Event) -> None:
        from shared.events import outbox

        await self.database.transaction(lambda connection: outbox.add(connection, *events))

    async def effects(self) -> list[uuid.UUID]:
        rows = await self.database.fetch("SELECT event_id FROM effects ORDER BY id")
        return [row["event_id"] for row in rows]

    async def unsent(self) -> int:
        return int(
            await self.database.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        )

    async def close(self) -> None:
        for relay, task in self._relays:
            relay.stop()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*(consumer.stop(5.0) for consumer in self._consumers))
        await self.bus.close()
        await self.database.close()


def deleted(number: int = 0, *, user: str | None = None) -> Event:
    """An event of the contract; the same number gives the same media id."""
    return new_event(
        "media.deleted",
        source="media",
        subject=user or str(uuid.UUID(int=number + 1)),
        data={"media_id": str(uuid.UUID(int=number))},
    )


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    """Wait until `condition()` (or what it returns, awaited) is true; fails at the deadline."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return
            await asyncio.sleep(0.02)
