"""`migrate events …` and `migrate webhooks …` on a real broker and database."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from typer.testing import CliRunner

from migrate.commands import events, webhooks
from migrate.context import Context, set_context
from shared.events import retry
from shared.events.broker import Message
from shared.events.envelope import Event
from shared.events.rabbitmq.link import call, open_channel
from shared.events.topology import LADDER_SECONDS
from tests.integration.events.harness import RabbitBus, deleted
from tests.support.platform_database import one_for_all

Invoke = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    """One database for this module; each test starts with empty inboxes and outbox."""
    with one_for_all(postgres_url) as dsn:
        yield dsn


@dataclass
class Installation:
    """A database, a prefix on the broker, and the command working on both."""

    dsn: str
    bus: RabbitBus
    run: Invoke

    async def park(self, consumer: str, event: Event, **headers: object) -> None:
        message = Message(event.to_json(), str(event.id), event.type, headers)
        assert await self.bus.rabbit.publisher.wait_ready(5)
        await self.bus.rabbit.publisher.publish("", self.bus.names.dead(consumer), message)


@pytest.fixture
async def installation(
    platform_dsn: str, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Installation]:
    bus = RabbitBus(rabbitmq_url)
    bus.names = type(bus.names)("scenextras", bus.names.prefix)
    connection = await asyncpg.connect(platform_dsn)
    await connection.execute("TRUNCATE outbox, inbox, webhook_inbox")
    await connection.close()
    monkeypatch.setenv("SHARED_DATABASE_URL", platform_dsn)
    monkeypatch.setenv("RABBITMQ_URL", rabbitmq_url)
    monkeypatch.setenv("EVENTS_PREFIX", bus.names.prefix)
    set_context(Context(Path("migration.toml"), tmp_path))

    async def run(app: typer.Typer, *arguments: str, code: int = 0) -> Any:
        result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        if "--json" in arguments and arguments[0] != "tail":
            return json.loads(result.output)
        return result.output

    yield Installation(platform_dsn, bus, run)
    await _clean_up(bus)


async def _clean_up(bus: RabbitBus) -> None:
    await bus.rabbit.close()
    names = bus.names
    async with bus.rabbit.connection() as connection:
        channel = await open_channel(connection, 5)
        waits = [names.wait("media", seconds) for seconds in LADDER_SECONDS]
        for queue in (names.queue("media"), names.dead("media"), names.unrouted, *waits):
            await call(channel, "queue_delete", 5, queue)
        for exchange in (names.exchange, names.unrouted):
            await call(channel, "exchange_delete", 5, exchange)


async def test_the_topology_is_shown_declared_and_then_without_difference(
    installation: Installation,
) -> None:
    run = installation.run
    before = await run(events.app, "topology", "--consumer", "media", "--json", code=2)
    assert any("media.events is missing" in line for line in before["differences"])
    after = await run(events.app, "topology", "--consumer", "media", "--apply", "--json")
    assert after["differences"] == []
    again = await run(events.app, "topology", "--consumer", "media", "--json")
    assert again["differences"] == []


async def test_a_queue_with_other_arguments_is_a_readable_difference(
    installation: Installation,
) -> None:
    queue = installation.bus.names.dead("media")
    async with installation.bus.rabbit.connection() as connection:
        channel = await open_channel(connection, 5)
        await call(channel, "queue_declare", 5, queue, durable=True)  # classic
    shown = await installation.run(events.app, "topology", "--consumer", "media", "--json", code=2)
    (line,) = [line for line in shown["differences"] if "other settings" in line]
    assert queue in line
    assert "x-queue-type=quorum" in line
    assert "delete it" in line
    found = await installation.run(events.app, "doctor", "--json", code=0)
    assert found["findings"][0]["subject"] == "broker"


async def test_status_and_doctor_see_queues_outboxes_and_what_is_parked(
    installation: Installation,
) -> None:
    run = installation.run
    await run(events.app, "topology", "--consumer", "media", "--apply", "--json")
    published = await run(
        events.app, "publish", "user.deleted", "--user", str(uuid.uuid4()), "--wait", "0", "--json"
    )
    assert published["sent"] is False
    await installation.park("media", deleted(1))
    shown = await run(events.app, "status", "--json")
    rows = {row["consumer"]: row for row in shown["consumers"]}
    assert rows["media"] | {"queue": ""} == {
        "consumer": "media",
        "queue": "",
        "ready": 0,
        "consumers": 0,
        "waiting": 0,
        "parked": 1,
    }
    assert rows["chat"]["ready"] is None
    assert shown["outboxes"]["shared"]["unsent"] == 1
    found = (await run(events.app, "doctor", "--json"))["findings"]
    levels = {row["subject"]: row["level"] for row in found}
    assert levels["broker"] == "ok"
    assert levels[installation.bus.names.dead("media")] == "warning"
    connection = await asyncpg.connect(installation.dsn)
    await connection.execute("UPDATE outbox SET created_at = now() - interval '1 hour'")
    await connection.close()
    found = (await run(events.app, "doctor", "--json", code=1))["findings"]
    assert {row["subject"]: row["level"] for row in found}["outbox of shared"] == "error"


async def test_sent_events_can_be_sent_once_more(installation: Installation) -> None:
    run = installation.run
    await run(events.app, "topology", "--consumer", "media", "--apply", "--json")
    for _ in range(2):
        await run(events.app, "publish", "user.deleted", "--wait", "0", "--json")
    connection = await asyncpg.connect(installation.dsn)
    await connection.execute(
        "UPDATE outbox SET sent_at = now() - interval '1 hour' WHERE id ="
        " (SELECT min(id) FROM outbox)"
    )
    await connection.execute("UPDATE outbox SET sent_at = now() WHERE sent_at IS NULL")
    again = await run(events.app, "republish", "--since", "15m", "--json")
    assert again == {"again": {"shared": 1}}
    assert await connection.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 1
    await connection.close()


async def test_an_event_that_no_consumer_could_read_is_not_published(
    installation: Installation,
) -> None:
    from shared.events.errors import InvalidEventError, UnknownEventTypeError

    with pytest.raises(InvalidEventError):
        await installation.run(events.app, "publish", "media.deleted", "--json")
    with pytest.raises(UnknownEventTypeError, match=r"did you mean user\.deleted"):
        await installation.run(events.app, "publish", "user.delete", "--source", "auth", "--json")


async def test_tail_prints_events_without_taking_them(installation: Installation) -> None:
    run, bus = installation.run, installation.bus
    await run(events.app, "topology", "--consumer", "media", "--apply", "--json")
    tailing = asyncio.create_task(
        run(events.app, "tail", "user.*", "--count", "1", "--seconds", "10", "--json")
    )
    event = deleted(1).model_copy(update={"type": "user.deleted", "data": {}})
    assert await bus.rabbit.publisher.wait_ready(5)
    while not tailing.done():
        message = Message(event.to_json(), str(event.id), event.type)
        await bus.rabbit.publisher.publish(bus.names.exchange, event.type, message)
        await asyncio.sleep(0.1)
    assert str(event.id) in await tailing
    assert await bus.depth(bus.names.queue("media")) >= 1


async def test_parked_messages_are_shown_filtered_and_replayed(installation: Installation) -> None:
    run, bus = installation.run, installation.bus
    await run(events.app, "topology", "--consumer", "media", "--apply", "--json")
    old = deleted(3).model_copy(update={"time": datetime.now(UTC) - timedelta(days=20)})
    for event, error in ((deleted(1), "KeyError"), (deleted(2), "ValueError"), (old, "KeyError")):
        await installation.park(
            "media",
            event,
            **{retry.REASON: "failed", retry.ERROR_TYPE: error, retry.ERROR: "x", retry.ATTEMPT: 5},
        )
    for _ in range(30):  # looking must not use anything up
        shown = (await run(events.app, "parked", "media", "--json"))["parked"]
    assert [row["error_type"] for row in shown] == ["KeyError", "ValueError", "KeyError"]
    assert [row["attempts"] for row in shown] == [5, 5, 5]
    recent = (await run(events.app, "parked", "media", "--since", "2d", "--json"))["parked"]
    assert len(recent) == 2
    dry = await run(events.app, "replay", "media", "--error", "KeyError", "--dry-run", "--json")
    assert (dry["sent"], dry["too_old"], await bus.depth(bus.names.dead("media"))) == (1, 1, 3)
    done = await run(events.app, "replay", "media", "--error", "KeyError", "--yes", "--json")
    assert (done["sent"], done["too_old"]) == (1, 1)
    (message,) = await bus.peek(bus.names.queue("media"))
    assert message.message_id == shown[0]["id"]
    assert not retry.OWN_HEADERS & set(message.headers)
    forced = await run(events.app, "replay", "media", "--force", "--json", "--rate", "100")
    assert forced["sent"] == 2
    assert await bus.depth(bus.names.dead("media")) == 0
    assert await bus.depth(bus.names.queue("media")) == 3


async def test_unrouted_events_are_replayed_to_whoever_is_bound_now(
    installation: Installation,
) -> None:
    run, bus = installation.run, installation.bus
    from shared.events.topology import exchange_topology

    await bus.rabbit.declare(exchange_topology(bus.names))
    event = deleted(1).model_copy(update={"type": "user.deleted", "data": {}})
    assert await bus.rabbit.publisher.wait_ready(5)
    message = Message(event.to_json(), str(event.id), event.type)
    await bus.rabbit.publisher.publish(bus.names.exchange, event.type, message)
    shown = (await run(events.app, "parked", "unrouted", "--json"))["parked"]
    assert [row["type"] for row in shown] == ["user.deleted"]
    await run(events.app, "topology", "--consumer", "media", "--apply", "--json")
    done = await run(events.app, "replay", "unrouted", "--json")
    assert done["sent"] == 1
    assert await bus.depth(bus.names.queue("media")) == 1
    assert await bus.depth(bus.names.unrouted) == 0


async def test_schemas_are_listed_and_checked(installation: Installation) -> None:
    shown = await installation.run(events.app, "schemas", "list", "--json")
    assert "user.deleted.v1" in shown
    assert "nothing breaks" in await installation.run(events.app, "schemas", "check")
    await installation.run(events.app, "topology", "--consumer", "media", "--apply", "--json")


async def test_webhooks_are_listed_shown_retried_and_handed_over(
    installation: Installation,
) -> None:
    from migrate.commands.webhooks import NoSuchDeliveryError
    from shared.placement import Database, FixedPlacement, open_pools
    from shared.webhooks import WebhookIntake
    from shared.webhooks.providers import StripeReader
    from shared.webhooks.senders import stripe_delivery

    run = installation.run
    await run(events.app, "topology", "--consumer", "media", "--apply", "--json")
    payload = {"id": "evt_1", "type": "invoice.paid", "livemode": False}
    sent = stripe_delivery(payload, "whsec_x", int(time.time()))
    pools = await open_pools("test", shared_dsn=installation.dsn)
    database = Database("payments", pools, FixedPlacement())
    intake = WebhookIntake(database, {"stripe": StripeReader(["whsec_x"])})
    await intake.receive("stripe", sent.headers, sent.body)
    await database.close()

    shown = (await run(webhooks.app, "list", "--provider", "stripe", "--json"))["deliveries"]
    assert [(row["id"], row["status"]) for row in shown] == [("evt_1", "received")]
    whole = json.loads(await run(webhooks.app, "show", "stripe", "evt_1"))
    assert whole["body"]["type"] == "invoice.paid"
    assert "is due" in await run(webhooks.app, "retry", "stripe", "evt_1", "--yes")
    owned = await run(webhooks.app, "owner", "stripe", "service", "--yes", "--json")
    assert owned["owners"] == [{"provider": "stripe", "type": "*", "owner": "service"}]
    assert "is due" in await run(webhooks.app, "retry", "stripe", "evt_1", "--yes")
    gone = await run(webhooks.app, "owner", "stripe", "none", "--yes", "--json")
    assert gone["owners"] == []
    with pytest.raises(NoSuchDeliveryError):
        await run(webhooks.app, "retry", "stripe", "evt_none", "--yes")
