"""One suite for every broker: what goes in through the outbox comes out as exactly one effect."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import pytest

from shared.events import outbox
from shared.events.breaker import BreakerSettings
from shared.events.broker import Message, Outcome
from shared.events.envelope import Event
from shared.events.errors import (
    EventTooLargeError,
    InvalidEventError,
    OutsideTransactionError,
    UnknownEventTypeError,
)
from shared.events.retry import ATTEMPT, ERROR_TYPE, QUEUE, REASON
from shared.placement import Connection
from tests.integration.events.harness import World, deleted, until


async def test_every_committed_event_has_exactly_one_effect(world: World) -> None:
    world.consumer()
    world.relay()
    events = [deleted(number) for number in range(200)]
    for start in range(0, 200, 20):
        await world.publish(*events[start : start + 20])
    await until(lambda: _count(world, 200))
    assert sorted(await world.effects()) == sorted(event.id for event in events)
    await until(lambda: _all_sent(world))


async def test_an_event_of_a_rolled_back_transaction_is_never_seen(world: World) -> None:
    world.consumer()
    world.relay()

    async def fails(connection: Connection) -> None:
        await outbox.add(connection, deleted(1))
        raise LookupError

    with pytest.raises(LookupError):
        await world.database.transaction(fails)
    kept = deleted(2)
    await world.publish(kept)
    await until(lambda: _count(world, 1))
    assert await world.effects() == [kept.id]


async def test_the_same_message_twice_is_applied_once(world: World) -> None:
    consumer = world.consumer()
    await until(lambda: consumer.is_active)
    event = deleted(1)
    message = Message(event.to_json(), str(event.id), event.type)
    for _ in range(5):
        assert await _publish(world, event.type, message) is Outcome.CONFIRMED
    marker = deleted(2)
    await _publish(world, marker.type, Message(marker.to_json(), str(marker.id), marker.type))
    await until(lambda: _count(world, 2))
    assert sorted(await world.effects()) == sorted([event.id, marker.id])


async def test_two_consumers_with_one_database_both_handle_an_event(world: World) -> None:
    world.consumer()
    world.consumer(name="media")
    world.relay()
    event = deleted(1)
    await until(lambda: all(consumer.is_active for consumer in world._consumers))
    await world.publish(event)
    await until(lambda: _count(world, 2))
    assert await world.effects() == [event.id, event.id]


async def test_a_failing_handler_is_tried_once_per_rung_and_then_parked_with_the_reason(
    world: World,
) -> None:
    runs: list[uuid.UUID] = []

    async def fails(connection: Connection, event: Event) -> None:
        runs.append(event.id)
        await connection.execute("INSERT INTO effects (event_id) VALUES ($1)", event.id)
        raise KeyError("no such room")

    world.consumer({"media.deleted": fails})
    world.relay()
    event = deleted(1)
    await world.publish(event)
    dead = world.bus.names.dead("chat")
    await until(lambda: _depth(world, dead, 1))
    (message,) = await world.bus.peek(dead)
    assert len(runs) == 3  # the first run and one per rung of the ladder
    assert message.headers[ATTEMPT] == 3
    assert message.headers[ERROR_TYPE] == "KeyError"
    assert message.headers[REASON] == "failed"
    assert message.headers[QUEUE] == world.bus.names.queue("chat")
    assert message.message_id == str(event.id)
    assert message.body == await _body(world, event)
    assert await world.effects() == []


async def test_a_handler_that_recovers_leaves_one_effect(world: World) -> None:
    runs = 0

    async def fails_twice(connection: Connection, event: Event) -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ConnectionError("vendor away")
        await world.note(connection, event)

    world.consumer({"media.deleted": fails_twice})
    world.relay()
    event = deleted(1)
    await world.publish(event)
    await until(lambda: _count(world, 1))
    assert await world.effects() == [event.id]
    assert await world.bus.depth(world.bus.names.dead("chat")) == 0


async def test_a_poison_message_does_not_hold_up_the_others(world: World) -> None:
    poison = deleted(13)

    async def picky(connection: Connection, event: Event) -> None:
        if event.id == poison.id:
            await connection.execute("SELECT 1 / 0")
        await world.note(connection, event)

    world.consumer({"media.deleted": picky})
    world.relay()
    good = [deleted(number) for number in range(60)]
    await world.publish(*good[:30], poison, *good[30:])
    await until(lambda: _count(world, 60))
    await until(lambda: _depth(world, world.bus.names.dead("chat"), 1))
    assert sorted(await world.effects()) == sorted(event.id for event in good)


async def test_what_cannot_be_read_is_parked_at_once(world: World) -> None:
    consumer = world.consumer()
    await until(lambda: consumer.is_active)
    future = deleted(1)
    bodies = [b"\xff\xfe", b"{}", b'{"specversion": "1.0"}', future.to_json()]
    bodies[3] = bodies[3].replace(b'"version":1', b'"version":99')
    for body in bodies:
        await _publish(world, "media.deleted", Message(body, ""))
    dead = world.bus.names.dead("chat")
    await until(lambda: _depth(world, dead, 4))
    reasons = sorted(str(message.headers[REASON]) for message in await world.bus.peek(dead))
    assert reasons == ["unreadable", "unreadable", "unreadable", "version"]
    assert await world.effects() == []


async def test_an_unknown_type_is_acknowledged_and_counted(world: World) -> None:
    consumer = world.consumer()
    await until(lambda: consumer.is_active)
    event = deleted(1)
    body = event.to_json().replace(b"media.deleted", b"media.invented")
    await _publish(world, "media.deleted", Message(body, str(event.id), "media.invented"))
    known = deleted(2)
    await _publish(world, "media.deleted", Message(known.to_json(), str(known.id), known.type))
    await until(lambda: _has(world, known))
    sample = consumer._metrics.handled.labels("chat", "other", "unknown")
    await until(lambda: sample._value.get() == 1)
    assert await world.bus.depth(world.bus.names.queue("chat")) == 0
    assert await world.bus.depth(world.bus.names.dead("chat")) == 0


async def test_an_event_nobody_is_bound_for_is_kept_in_the_unrouted_queue(world: World) -> None:
    consumer = world.consumer()
    await until(lambda: consumer.is_active)
    world.relay()
    lost = Event.model_validate(
        {
            **deleted(1).model_dump(),
            "type": "story.deleted",
            "data": {"story_id": "", "was_published": True},
        }
    )
    await world.publish(lost)
    await until(lambda: _depth(world, world.bus.names.unrouted, 1))
    (message,) = await world.bus.peek(world.bus.names.unrouted)
    assert message.message_id == str(lost.id)
    await until(lambda: _all_sent(world))


async def test_a_returned_event_stays_in_the_outbox_until_somebody_is_bound(world: World) -> None:
    consumer = world.consumer()
    await until(lambda: consumer.is_active)
    await world.bus.delete_queue(world.bus.names.unrouted)  # now nothing catches it
    event = deleted(1)
    story = event.model_copy(
        update={"type": "story.deleted", "data": {"story_id": "", "was_published": True}}
    )
    world.relay()
    await world.publish(story)

    async def returned() -> bool:
        error = await world.database.fetchval("SELECT last_error FROM outbox")
        return bool(error == "returned")

    await until(returned)
    assert await world.unsent() == 1
    world.consumer({"story.deleted": world.note}, name="media")
    await until(lambda: _has(world, story), 60)  # pauses grow with every return before the binding
    await until(lambda: _all_sent(world), 60)


async def test_events_of_one_user_are_handled_in_order(world: World) -> None:
    seen: list[str] = []

    async def slow_first(connection: Connection, event: Event) -> None:
        await asyncio.sleep(0.02 if event.data["media_id"].endswith("0") else 0)
        seen.append(f"{event.subject}:{event.data['media_id']}")
        await world.note(connection, event)

    consumer = world.consumer({"media.deleted": slow_first}, batch_rows=3)
    await until(lambda: consumer.is_active)
    world.relay()
    users = [str(uuid.uuid4()) for _ in range(4)]
    await world.publish(*(deleted(number, user=user) for number in range(12) for user in users))
    await until(lambda: _count(world, 48))
    for user in users:
        mine = [entry for entry in seen if entry.startswith(user)]
        assert mine == sorted(mine)


async def test_cut_connections_lose_and_double_nothing(world: World) -> None:
    async def slowly(connection: Connection, event: Event) -> None:
        await world.note(connection, event)
        await asyncio.sleep(0.001)

    world.consumer({"media.deleted": slowly}, batch_rows=5)
    world.relay(batch_rows=40)
    events = [deleted(number) for number in range(300)]
    for start in range(0, 300, 30):
        await world.publish(*events[start : start + 30])
        if start % 60 == 0:
            await asyncio.sleep(0.05)
            await world.bus.cut_connections()
    await until(lambda: _count(world, 300))
    await until(lambda: _all_sent(world))
    assert sorted(await world.effects()) == sorted(event.id for event in events)


async def test_a_deleted_queue_comes_back_and_later_events_arrive(world: World) -> None:
    consumer = world.consumer()
    world.relay()
    first = deleted(1)
    await until(lambda: consumer.is_active)
    await world.publish(first)
    await until(lambda: _has(world, first))
    await world.bus.delete_queue(world.bus.names.queue("chat"))
    await until(lambda: not consumer.is_active)
    second = deleted(2)
    await world.publish(second)  # nobody may be bound now: then it lands in the unrouted queue
    await until(lambda: consumer.is_active)
    third = deleted(3)
    await world.publish(third)
    await until(lambda: _has(world, third))

    async def everything_is_somewhere() -> bool:
        kept = {message.message_id for message in await world.bus.peek(world.bus.names.unrouted)}
        applied = {str(found) for found in await world.effects()}
        return {str(first.id), str(second.id), str(third.id)} == applied | kept

    await until(everything_is_somewhere)


async def test_a_storm_of_failures_opens_the_breaker_and_other_types_go_on(world: World) -> None:
    broken = True
    runs = 0

    async def fragile(connection: Connection, event: Event) -> None:
        nonlocal runs
        runs += 1
        if broken:
            raise ConnectionError("vendor away")
        await world.note(connection, event)

    settings = BreakerSettings(
        window=4, min_runs=4, first_pause_seconds=0.3, longest_pause_seconds=0.3
    )
    consumer = world.consumer(
        {"media.deleted": fragile, "user.deleted": world.note}, breaker=settings, ladder=(0.1,) * 9
    )
    world.relay()
    await until(lambda: consumer.is_active)
    await world.publish(*(deleted(number) for number in range(400)))
    await until(lambda: consumer._breakers["media.deleted"].is_open if runs else False)
    other = deleted(77).model_copy(update={"type": "user.deleted", "data": {}})
    await world.publish(other)
    await until(lambda: _has(world, other))
    assert runs < 400
    broken = False
    await until(lambda: _count(world, 401))
    assert not consumer._breakers["media.deleted"].is_open


async def test_stopping_finishes_what_is_in_hand_and_gives_back_the_rest(world: World) -> None:
    gate = asyncio.Event()
    started = asyncio.Event()

    async def waits(connection: Connection, event: Event) -> None:
        started.set()
        await gate.wait()
        await world.note(connection, event)

    consumer = world.consumer({"media.deleted": waits}, lanes=1, batch_rows=1)
    world.relay()
    events = [deleted(number) for number in range(10)]
    await world.publish(*events)
    await started.wait()
    stopping = asyncio.create_task(consumer.stop(seconds=0.3))
    await asyncio.sleep(0.05)
    gate.set()
    await stopping
    gate.set()
    world.consumer(lanes=1)
    await until(lambda: _count(world, 10))
    assert sorted(await world.effects()) == sorted(event.id for event in events)


async def test_a_blocked_broker_only_delays(world: World) -> None:
    consumer = world.consumer()
    await until(lambda: consumer.is_active)
    publisher = world.bus.broker.publisher
    world.relay()
    first = deleted(1)
    await world.publish(first)
    await until(lambda: _has(world, first))
    _block(publisher, blocked=True)
    await asyncio.sleep(0.5)  # a round that had begun before may still end
    second = deleted(2)
    await world.publish(second)
    await asyncio.sleep(0.2)
    assert await world.unsent() == 1
    _block(publisher, blocked=False)
    await until(lambda: _has(world, second))
    await until(lambda: _all_sent(world))


async def test_delayed_events_wait_for_their_time(world: World) -> None:
    from datetime import UTC, datetime, timedelta

    world.consumer()
    world.relay()
    late, now = deleted(1), deleted(2)
    due = datetime.now(UTC) + timedelta(seconds=0.5)
    await world.database.transaction(
        lambda connection: outbox.add(connection, late, deliver_after=due)
    )
    await world.publish(now)
    await until(lambda: _count(world, 2))
    assert await world.effects() == [now.id, late.id]


async def test_the_outbox_refuses_what_no_consumer_could_read(world: World) -> None:
    event = deleted(1)
    async with world.database.shared.acquire() as connection:
        with pytest.raises(OutsideTransactionError):
            await outbox.add(connection, event)
    wrong: list[tuple[Event, type[Exception]]] = [
        (event.model_copy(update={"type": "media.delted"}), UnknownEventTypeError),
        (event.model_copy(update={"version": 2}), UnknownEventTypeError),
        (event.model_copy(update={"data": {}}), InvalidEventError),
        (
            event.model_copy(update={"data": {**event.data, "x": "y" * 300_000}}),
            EventTooLargeError,
        ),
    ]
    for bad, expected in wrong:
        with pytest.raises(expected):
            await world.publish(bad)
    await until(lambda: _all_sent(world))


async def test_headers_that_the_broker_or_a_stranger_wrote_do_not_count_as_attempts(
    world: World,
) -> None:
    async def fails(connection: Connection, event: Event) -> None:
        raise KeyError

    consumer = world.consumer({"media.deleted": fails})
    await until(lambda: consumer.is_active)
    event = deleted(1)
    message = Message(event.to_json(), str(event.id), event.type, {ATTEMPT: "many"})
    await _publish(world, event.type, replace(message))
    dead = world.bus.names.dead("chat")
    await until(lambda: _depth(world, dead, 1))
    (parked,) = await world.bus.peek(dead)
    assert parked.headers[ATTEMPT] == 3


async def _publish(world: World, key: str, message: Message) -> Outcome:
    assert await world.bus.broker.publisher.wait_ready(5)
    return await world.bus.broker.publisher.publish(world.bus.names.exchange, key, message)


async def _count(world: World, number: int) -> bool:
    found = len(await world.effects())
    assert found <= number, f"{found} effects of {number} events"
    return found == number


async def _has(world: World, event: Event) -> bool:
    return event.id in await world.effects()


async def _depth(world: World, queue: str, number: int) -> bool:
    return await world.bus.depth(queue) == number


async def _all_sent(world: World) -> bool:
    return await world.unsent() == 0


async def _body(world: World, event: Event) -> bytes:
    text = await world.database.fetchval(
        "SELECT body::text FROM outbox WHERE event_id = $1", event.id
    )
    return str(text).encode()


def _block(publisher: object, *, blocked: bool) -> None:
    """An alarm begins or ends, as the broker reports it to a publisher."""
    if hasattr(publisher, "block"):
        publisher.block(blocked)
    elif blocked:
        publisher._on_blocked(None, None)  # type: ignore[attr-defined]
    else:
        publisher._on_unblocked(None, None)  # type: ignore[attr-defined]
