"""Faults on a real broker and database: the count of effects equals the count of events, always."""

from __future__ import annotations

import asyncio
import signal
from uuid import uuid4

import asyncpg

from shared.events import outbox
from shared.events.broker import Message, Outcome
from shared.events.envelope import new_event
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.link import call, open_channel
from shared.events.topology import LADDER_SECONDS
from tests.faults.events.first_design import FirstEvent, FirstPublisher
from tests.faults.events.installation import (
    OUTAGE_SECONDS,
    Installation,
    kill_at_random,
)
from tests.faults.events.worker_process import FRAGILE, POISON


async def assert_exactly_once(installation: Installation) -> None:
    """Everything that was committed has one effect, and nothing has two."""
    events, applied, effects = await installation.settled()
    assert events > 0
    assert (applied, effects) == (events, events), installation.last_log_lines()


async def test_workers_killed_at_random_points_lose_and_double_nothing(
    installation: Installation,
) -> None:
    publishing = asyncio.create_task(installation.publish(700, pause=0.02))
    await kill_at_random(
        lambda: installation.start_worker(FAULT_PAUSE_SECONDS="0.003"), times=3, seed=11
    )
    await installation.start_worker()
    await publishing
    await assert_exactly_once(installation)


async def test_a_relay_killed_between_confirm_and_commit_publishes_twice_and_applies_once(
    installation: Installation,
) -> None:
    worker = await installation.start_worker()
    await installation.publish(5)
    await installation.reached(5)
    worker.send_signal(signal.SIGSTOP)  # only the dying relay works now
    await installation.publish(100)
    dying = await installation.start_worker(FAULT="die_after_confirm")
    async with asyncio.timeout(30):
        assert await dying.wait() == -signal.SIGKILL
    unsent = await installation.database.fetchval(
        "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
    )
    assert unsent == 100  # confirmed by the broker, and not noted
    worker.send_signal(signal.SIGCONT)
    await assert_exactly_once(installation)


async def test_a_broker_that_stops_and_one_that_is_killed_under_load_only_delay(
    installation: Installation,
) -> None:
    """The clean stop comes first: RabbitMQ 3.10 forgets a queue that is made right before a kill."""
    await installation.start_worker(FAULT_PAUSE_SECONDS="0.002")
    await installation.publish(5)
    await installation.reached(5)
    publishing = asyncio.create_task(installation.publish(600, pause=0.01))
    await asyncio.sleep(0.3)
    await installation.servers.stop("rabbitmq")
    late = await installation.start_worker(FAULT_PAUSE_SECONDS="0.002")  # starts without a broker
    await asyncio.sleep(OUTAGE_SECONDS)
    await installation.servers.start("rabbitmq")
    await publishing
    await assert_exactly_once(installation)
    assert late.returncode is None
    publishing = asyncio.create_task(installation.publish(600, pause=0.005))
    await asyncio.sleep(0.3)
    await installation.servers.kill("rabbitmq")
    await installation.servers.start("rabbitmq")
    await publishing
    await assert_exactly_once(installation)
    assert installation.log_lines("broker_unreachable") < 100  # it waits between its attempts


async def test_a_memory_alarm_stops_publishers_and_nothing_else(installation: Installation) -> None:
    await installation.start_worker(FAULT_PAUSE_SECONDS="0.005")
    await installation.publish(400)
    await installation.reached(5)
    await installation.rabbitmqctl("set_vm_memory_high_watermark", "0.00000001")
    try:
        await installation.publish(200)
        before = (await installation.count())[2]
        await installation.reached(before)  # consumers go on with what the broker has
    finally:
        await installation.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    await assert_exactly_once(installation)


async def test_e7_an_alarm_of_the_broker_does_not_stop_the_event_loop(
    installation: Installation,
) -> None:
    url, big = installation.rabbitmq_url, {"x": "y" * 300_000}
    broker = RabbitBroker(BrokerSettings(url))
    assert await broker.publisher.wait_ready(20)
    first = await asyncio.to_thread(FirstPublisher, url, f"first.{installation.names.prefix}")
    await installation.rabbitmqctl("set_vm_memory_high_watermark", "0.00000001")

    def publish_as_the_first_design_does() -> None:
        for _ in range(100):
            first.publish(FirstEvent.new("u1", big))

    try:
        blocked = asyncio.create_task(asyncio.to_thread(publish_as_the_first_design_does))
        flying = [
            broker.publisher.publish("", "amq.nobody", Message(b"{}", str(n), "x"))
            for n in range(100)
        ]
        beats = 0
        for _ in range(100):  # the loop goes on, whatever the broker does
            await asyncio.sleep(0.02)
            beats += 1
        assert beats == 100
        assert not blocked.done()  # on the event loop it would be the whole service
    finally:
        await installation.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*flying)
        await blocked
    assert set(outcomes) == {Outcome.RETURNED}
    await asyncio.to_thread(first.close)
    await broker.close()


async def test_poison_unknown_and_unroutable_messages_cost_the_good_ones_nothing(
    installation: Installation,
) -> None:
    names = installation.names
    await installation.start_worker()
    await installation.publish(50)
    await installation.reached(50)
    story = new_event(
        "story.deleted",
        source="community",
        subject=installation.user,
        data={"story_id": uuid4(), "was_published": True},
    )
    special = [installation.image(size) for size in (POISON, FRAGILE)]
    await installation.database.transaction(
        lambda connection: outbox.add(connection, *special, story)
    )
    broker = RabbitBroker(BrokerSettings(installation.rabbitmq_url))
    assert await broker.publisher.wait_ready(20)
    unknown = special[0].to_json().replace(b"chat.image_received", b"chat.image_invented")
    for number, body in enumerate((b"\xff\xfe", b"{}", unknown)):
        message = Message(body, f"raw-{number}", "chat.image_received")
        sent = await broker.publisher.publish(names.exchange, "chat.image_received", message)
        assert sent is Outcome.CONFIRMED
    await broker.close()
    await installation.publish(50)
    await installation.reached(101)  # every good one, and the fragile one at its second run
    assert (await installation.count())[1:] == (101, 101)
    rungs = [names.wait("media", seconds) for seconds in LADDER_SECONDS]
    places = (names.queue("media"), names.dead("media"), names.unrouted, *rungs)
    async with asyncio.timeout(60):  # nothing is left, two were unreadable, one nobody hears
        while (depths := await installation.depths(*places))[:3] != [0, 2, 1] or not any(
            depths[3:]
        ):
            await asyncio.sleep(0.2)
    assert sum(depths[3:]) == 1  # poison waits for its next run
    assert 2 <= installation.log_lines("poison_run") <= 4  # it does not spin


async def test_idling_for_longer_than_two_heartbeats_costs_no_event(
    installation: Installation,
) -> None:
    await installation.start_worker(EVENTS_HEARTBEAT_SECONDS="2")
    await installation.publish(10)
    await installation.reached(10)
    await asyncio.sleep(5.0)
    await installation.publish(10)
    await assert_exactly_once(installation)
    assert installation.log_lines("broker_lost") == 0
    assert installation.log_lines("consumer_lost") == 0


async def test_a_queue_deleted_under_load_comes_back_and_the_outbox_fills_the_gap(
    installation: Installation,
) -> None:
    await installation.start_worker(FAULT_PAUSE_SECONDS="0.002")
    publishing = asyncio.create_task(installation.publish(600, pause=0.005))
    await installation.reached(50)
    broker = RabbitBroker(BrokerSettings(installation.rabbitmq_url))
    async with broker.connection() as connection:
        channel = await open_channel(connection, 5)
        await call(channel, "queue_delete", 5, installation.names.queue("media"))
    await publishing
    await installation.consumes_again()
    async with installation.database.shared.acquire() as connection:
        await outbox.send_again(connection, since_seconds=3600)
    await assert_exactly_once(installation)


async def test_postgresql_restarting_under_load_loses_and_doubles_nothing(
    installation: Installation,
) -> None:
    await installation.start_worker(FAULT_PAUSE_SECONDS="0.002")
    publishing = asyncio.create_task(installation.publish(800, pause=0.005))
    await installation.reached(50)
    await installation.servers.stop("postgres")
    late = await installation.start_worker()  # starts without a database
    await asyncio.sleep(1.0)
    await installation.servers.start("postgres")
    await publishing
    await assert_exactly_once(installation)
    assert late.returncode is None
    parked = RabbitBroker(BrokerSettings(installation.rabbitmq_url))
    async with parked.connection() as connection:
        channel = await open_channel(connection, 5)
        answer = await call(
            channel, "queue_declare", 5, installation.names.dead("media"), passive=True
        )
    assert answer.method.message_count == 0  # an outage is nobody's fault: nothing was parked


async def test_a_worker_drains_on_sigterm_and_a_second_one_does_not_cut_it(
    installation: Installation,
) -> None:
    worker = await installation.start_worker(FAULT_PAUSE_SECONDS="0.05", EVENTS_LANES="1")
    await installation.publish(40)
    await installation.reached(1)
    worker.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    worker.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await worker.wait() == 0
    assert installation.log_lines("worker_stopped") == 1
    await installation.start_worker()
    await assert_exactly_once(installation)


async def test_the_sql_function_of_the_schema_makes_the_same_envelope(
    installation: Installation,
) -> None:
    from shared.events.catalogue import shipped_catalogue
    from shared.events.envelope import read_event

    connection = await asyncpg.connect(installation.dsn)
    await connection.execute(
        "SELECT emit_event('user.logged_in', $1, '{\"provider\": \"google\"}', 'auth', 'r1')",
        installation.user,
    )
    body = await connection.fetchval("SELECT body::text FROM outbox")
    await connection.close()
    event = read_event(str(body).encode())
    shipped_catalogue().check(event)
    assert (event.source, event.subject, event.requestid) == ("/auth", str(installation.user), "r1")
