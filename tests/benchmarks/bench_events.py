"""Events a second and commit-to-consumer latency, beside aio-pika and FastStream in the same run.

    make bench-events            (ARGS="--quick" for a tenth of the events)

Private PostgreSQL and RabbitMQ unless TEST_POSTGRES_URL and TEST_RABBITMQ_URL name servers. Quorum
queue, persistent messages, mandatory, confirms, about 500 bytes. Rounds are interleaved; medians.
Prints a table and writes .bench/events.json.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import structlog
import uvloop
from faststream.rabbit import RabbitBroker as FastStreamBroker
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from shared.events import outbox
from shared.events.broker import Message
from shared.events.consumer import Consumer, ConsumerSettings
from shared.events.envelope import Event, new_event
from shared.events.metrics import EventMetrics
from shared.events.rabbitmq.link import call, open_channel
from shared.events.relay import Relay
from shared.placement import Connection
from tests.benchmarks.private_servers import benchmark_servers
from tests.integration.events.harness import TABLES, RabbitBus, World

QUICK = "--quick" in sys.argv
EVENTS = 2_000 if QUICK else 20_000
PEER_EVENTS = 500 if QUICK else 4_000
ROUNDS = 1 if QUICK else 3
IN_FLIGHT = 500
LATENCY_EVENTS = 50 if QUICK else 500
LATENCY_RATE = 50.0  # events a second
REPORT = Path(".bench/events.json")

# The same inbox and effect as ours in the fastest form for one message: a single statement.
PEER_EFFECT = """
WITH fresh AS (INSERT INTO inbox (consumer, event_id, type) VALUES ($1, $2, 'media.deleted')
  ON CONFLICT DO NOTHING RETURNING event_id)
INSERT INTO effects (event_id) SELECT event_id FROM fresh
"""


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with benchmark_servers("postgres", "rabbitmq") as urls:
        figures = uvloop.run(_run(urls["postgres"], urls["rabbitmq"]))
    ratios = {
        name: round(figures[ours] / figures[peer], 2)
        for name, ours, peer in (
            ("publish_aio_pika", "publish_confirmed_per_s", "aio_pika_publish_per_s"),
            ("publish_faststream", "publish_confirmed_per_s", "faststream_publish_per_s"),
            ("inbox_aio_pika", "inbox_effects_per_s", "aio_pika_inbox_effects_per_s"),
            ("inbox_faststream", "inbox_effects_per_s", "faststream_inbox_effects_per_s"),
        )
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"figures": figures, "ratios": ratios}, indent=2) + "\n")
    table = Table("what", "figure")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}")
    for name, value in ratios.items():
        table.add_row(f"times {name}", f"{value:.1f}")
    Console().print(table)
    Console().print(f"written to {REPORT}")


async def _run(postgres_url: str, rabbitmq_url: str) -> dict[str, float]:
    name = f"bench_{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    dsn = postgres_url.rpartition("/")[0] + f"/{name}"
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLES)
    await connection.close()
    world = await World.open(dsn, RabbitBus(rabbitmq_url))
    try:
        return await _measure(world, rabbitmq_url)
    finally:
        await world.close()
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


async def _measure(world: World, url: str) -> dict[str, float]:
    """Every figure: medians over interleaved rounds."""
    consumer = _consumer(world)
    await world.bus.broker.declare(consumer.topology)
    assert await world.bus.broker.publisher.wait_ready(10)
    rounds: dict[str, Callable[[], Awaitable[float]]] = {
        "publish_confirmed_per_s": lambda: _publish_ours(world),
        "aio_pika_publish_per_s": lambda: _publish_aio_pika(world, url),
        "faststream_publish_per_s": lambda: _publish_faststream(world, url),
        "relay_rows_per_s": lambda: _relay(world),
        "inbox_effects_per_s": lambda: _consume_ours(world),
        "aio_pika_inbox_effects_per_s": lambda: _consume_aio_pika(world, url),
        "faststream_inbox_effects_per_s": lambda: _consume_faststream(world, url),
    }
    found: dict[str, list[float]] = {name: [] for name in rounds}
    for _ in range(ROUNDS):
        for name, measure in rounds.items():
            await _purge(world)
            found[name].append(await measure())
    figures = {name: round(statistics.median(values), 1) for name, values in found.items()}
    await _purge(world)
    figures |= await _latency(world, is_kicked=True)
    figures |= await _latency(world, is_kicked=False)
    return figures


def _event() -> Event:
    """About 500 bytes."""
    data = {"media_id": uuid.uuid4(), "note": "x" * 180}
    return new_event("media.deleted", source="media", subject=uuid.uuid4(), data=data)


def _messages(count: int) -> list[Message]:
    events = [_event() for _ in range(count)]
    return [Message(event.to_json(), str(event.id), event.type) for event in events]


async def _publish_ours(world: World) -> float:
    publisher, exchange = world.bus.broker.publisher, world.bus.names.exchange
    messages = _messages(EVENTS)
    started = time.perf_counter()
    await _publish_all(publisher, exchange, messages)
    return EVENTS / (time.perf_counter() - started)


async def _publish_all(publisher: Any, exchange: str, messages: list[Message]) -> None:
    for start in range(0, len(messages), IN_FLIGHT):
        chunk = messages[start : start + IN_FLIGHT]
        await asyncio.gather(*(publisher.publish(exchange, m.type, m) for m in chunk))


async def _publish_aio_pika(world: World, url: str) -> float:
    messages = _messages(PEER_EVENTS)
    connection = await aio_pika.connect_robust(url)
    channel = await connection.channel(publisher_confirms=True)
    exchange = await channel.get_exchange(world.bus.names.exchange)

    async def send(message: Message) -> None:
        made = aio_pika.Message(
            message.body,
            message_id=message.message_id,
            type=message.type,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await exchange.publish(made, message.type, mandatory=True)

    started = time.perf_counter()
    for start in range(0, PEER_EVENTS, IN_FLIGHT):
        await asyncio.gather(*(send(m) for m in messages[start : start + IN_FLIGHT]))
    seconds = time.perf_counter() - started
    await connection.close()
    return PEER_EVENTS / seconds


async def _publish_faststream(world: World, url: str) -> float:
    messages = _messages(PEER_EVENTS)
    broker = FastStreamBroker(url, logger=None)
    await broker.start()

    async def send(message: Message) -> None:
        await broker.publish(
            message.body,
            exchange=_faststream_exchange(world),
            routing_key=message.type,
            message_id=message.message_id,
            content_type="application/json",
            persist=True,
            mandatory=True,
        )

    await send(messages[0])  # it looks the exchange up once
    started = time.perf_counter()
    for start in range(0, PEER_EVENTS, IN_FLIGHT):
        await asyncio.gather(*(send(m) for m in messages[start : start + IN_FLIGHT]))
    seconds = time.perf_counter() - started
    await broker.stop()
    return PEER_EVENTS / seconds


async def _relay(world: World) -> float:
    for _ in range(EVENTS // 500):
        events = [_event() for _ in range(500)]
        await world.database.transaction(
            lambda connection, events=events: outbox.add(connection, *events)  # type: ignore[misc]
        )
    relay = Relay(world.database.shared, world.bus.broker.publisher, world.bus.names.exchange)
    started = time.perf_counter()
    taken = 0
    while taken < EVENTS:
        taken += await relay.relay_batch()
    return EVENTS / (time.perf_counter() - started)


def _consumer(world: World, seen: Callable[[Event], None] | None = None) -> Consumer:
    async def effect(connection: Connection, event: Event) -> None:
        if seen is not None:
            seen(event)
        await connection.execute("INSERT INTO effects (event_id) VALUES ($1)", event.id)

    return Consumer(
        "chat",
        {"media.deleted": effect},
        database=world.database,
        broker=world.bus.broker,
        names=world.bus.names,
        settings=ConsumerSettings(ladder=(0.05, 0.1)),
        metrics=EventMetrics(),
    )


async def _consume_ours(world: World) -> float:
    await _publish_all(world.bus.broker.publisher, world.bus.names.exchange, _messages(EVENTS))
    consumer = _consumer(world)
    consumer.start()
    assert await consumer.wait_active(30)  # connected and declared, like the peers
    started = time.perf_counter()
    before = await world.database.fetchval("SELECT count(*) FROM effects")
    await _until_effects(world, EVENTS)
    seconds = time.perf_counter() - started
    await consumer.stop()
    return (EVENTS - before) / seconds


async def _consume_aio_pika(world: World, url: str) -> float:
    await _publish_all(world.bus.broker.publisher, world.bus.names.exchange, _messages(PEER_EVENTS))
    connection = await aio_pika.connect_robust(url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=100)
    queue = await channel.get_queue(world.bus.names.queue("chat"))
    pool = world.database.shared

    async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        async with message.process():
            event_id = json.loads(message.body)["id"]
            await pool.execute(PEER_EFFECT, "chat", uuid.UUID(event_id))

    started = time.perf_counter()
    await queue.consume(handle)
    await _until_effects(world, PEER_EVENTS)
    seconds = time.perf_counter() - started
    await connection.close()
    return PEER_EVENTS / seconds


async def _consume_faststream(world: World, url: str) -> float:
    from faststream.rabbit import Channel, RabbitQueue

    await _publish_all(world.bus.broker.publisher, world.bus.names.exchange, _messages(PEER_EVENTS))
    pool = world.database.shared
    broker = FastStreamBroker(url, logger=None, default_channel=Channel(prefetch_count=100))

    @broker.subscriber(RabbitQueue(world.bus.names.queue("chat"), declare=False))
    async def handle(body: dict[str, Any]) -> None:
        await pool.execute(PEER_EFFECT, "chat", uuid.UUID(body["id"]))

    started = time.perf_counter()
    await broker.start()
    await _until_effects(world, PEER_EVENTS)
    seconds = time.perf_counter() - started
    await broker.stop()
    return PEER_EVENTS / seconds


async def _latency(world: World, *, is_kicked: bool) -> dict[str, float]:
    """Commit to the start of the effect, in milliseconds; unkicked is a writer in another process.

    Measured while events come at a steady rate: those of the first second are not counted, since an
    idle relay that nobody kicks looks only four times a second.
    """
    committed: dict[uuid.UUID, float] = {}
    waits: list[float] = []

    def seen(event: Event) -> None:
        waits.append((time.perf_counter() - committed[event.id]) * 1000)

    consumer = _consumer(world, seen)
    consumer.start()
    assert await consumer.wait_active(10)
    relay = Relay(world.database.shared, world.bus.broker.publisher, world.bus.names.exchange)
    relaying = asyncio.create_task(relay.run())
    total = LATENCY_EVENTS + int(LATENCY_RATE)
    for _ in range(total):
        event = _event()
        committed[event.id] = time.perf_counter()
        await world.database.transaction(
            lambda connection, event=event: outbox.add(connection, event)  # type: ignore[misc]
        )
        committed[event.id] = time.perf_counter()
        if is_kicked:
            relay.kick()
        await asyncio.sleep(1 / LATENCY_RATE)
    await _until_effects(world, total)
    relay.stop()
    await relaying
    await consumer.stop()
    await _purge(world)
    waits = sorted(waits[int(LATENCY_RATE) :])
    name = "commit_to_consumer" if is_kicked else "commit_to_consumer_other_process"
    return {
        f"{name}_p50_ms": round(waits[len(waits) // 2], 1),
        f"{name}_p99_ms": round(waits[int(len(waits) * 0.99)], 1),
    }


def _faststream_exchange(world: World) -> Any:
    from faststream.rabbit import ExchangeType, RabbitExchange

    return RabbitExchange(
        world.bus.names.exchange, type=ExchangeType.TOPIC, durable=True, declare=False
    )


async def _until_effects(world: World, count: int) -> None:
    async with asyncio.timeout(300):
        while await world.database.fetchval("SELECT count(*) FROM effects") < count:
            await asyncio.sleep(0.01)


async def _purge(world: World) -> None:
    """Empty queue and tables between rounds."""
    assert isinstance(world.bus, RabbitBus)
    async with world.bus.rabbit.connection() as connection:
        channel = await open_channel(connection, 30)
        await call(channel, "queue_purge", 30, world.bus.names.queue("chat"))
    async with world.database.shared.acquire() as db:
        await db.execute("TRUNCATE outbox, inbox, effects")


if __name__ == "__main__":
    main()
