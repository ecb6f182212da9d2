"""Faults on a real broker and database: the count of effects equals the count of events, always."""

from __future__ import annotations

import asyncio
import signal

import asyncpg

from shared.events import outbox
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.link import call, open_channel
from tests.faults.events.installation import (
    OUTAGE_SECONDS,
    Installation,
    kill_at_random,
)


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
