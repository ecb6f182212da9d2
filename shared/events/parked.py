"""Parked and unrouted messages: look at them, and send them on their way again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events import retry
from shared.events.broker import Delivery, Outcome
from shared.events.envelope import Event, read_event
from shared.events.errors import BrokerError, UnreadableEventError
from shared.events.inbox import RETENTION_SECONDS
from shared.events.rabbitmq.broker import RabbitBroker
from shared.events.rabbitmq.inspection import taking


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A message that waits for a person. Fields are None where the message does not say."""

    queue: str  # where it was parked from
    message_id: str
    type: str
    reason: str
    error_type: str | None
    error: str | None
    attempts: int
    parked_at: str | None
    event: Event | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages; everything that is set must fit."""

    type: str | None = None
    error_type: str | None = None
    reason: str | None = None
    message_id: str | None = None
    since: datetime | None = None  # by the event's own time

    def fits(self, message: ParkedMessage) -> bool:
        """Whether a message is meant."""
        if self.since is not None and (message.event is None or message.event.time < self.since):
            return False
        return all(
            wanted is None or wanted == found
            for wanted, found in (
                (self.type, message.type),
                (self.error_type, message.error_type),
                (self.reason, message.reason),
                (self.message_id, message.message_id),
            )
        )


@dataclass(slots=True)
class Replay:
    """What a replay did: messages looked at, sent again, refused for their age."""

    seen: int = 0
    sent: int = 0
    too_old: int = 0
    others: int = 0


def describe(delivery: Delivery) -> ParkedMessage:
    """A parked message from its headers; those the broker dead-lettered have the broker's words."""
    message = delivery.message
    headers = message.headers
    try:
        event: Event | None = read_event(message.body)
    except UnreadableEventError:
        event = None
    death = _first_death(headers)
    return ParkedMessage(
        queue=str(headers.get(retry.QUEUE) or death.get("queue") or ""),
        message_id=message.message_id,
        type=event.type if event is not None else message.type,
        reason=str(headers.get(retry.REASON) or death.get("reason") or "unrouted"),
        error_type=_optional(headers.get(retry.ERROR_TYPE)),
        error=_optional(headers.get(retry.ERROR)),
        attempts=retry.count(headers, retry.ATTEMPT),
        parked_at=_optional(headers.get(retry.PARKED_AT)),
        event=event,
        body=message.body,
    )


async def peek(
    broker: RabbitBroker, queue: str, selection: Selection, limit: int
) -> list[ParkedMessage]:
    """Messages of a dead queue or of the unrouted one, oldest first; they stay where they are."""
    found: list[ParkedMessage] = []
    async with taking(broker, queue, limit=1_000_000) as deliveries:
        async for delivery in deliveries:
            parked = describe(delivery)
            if selection.fits(parked):
                found.append(parked)
                if len(found) >= limit:
                    break
    return found


async def replay(
    broker: RabbitBroker,
    source: str,
    selection: Selection,
    *,
    target: tuple[str, str | None],
    limit: int,
    rate: float | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> Replay:
    """Publish messages of `source` again, confirmed, and only then take them away.

    `target` is (exchange, routing key); a key of None keeps each message's own. `rate` is messages
    a second. Events older than the inbox remembers are refused unless `force`: they could be
    applied twice. Raises BrokerError when the broker does not take one; the rest stays.
    """
    done = Replay()
    oldest = datetime.now(UTC) - timedelta(seconds=RETENTION_SECONDS)
    if not dry_run and not await broker.publisher.wait_ready(broker.settings.connect_seconds):
        raise BrokerError("the broker takes no messages; see `migrate events doctor`")
    async with taking(broker, source, limit=1_000_000) as deliveries:
        async for delivery in deliveries:
            done.seen += 1
            parked = describe(delivery)
            if not selection.fits(parked):
                done.others += 1
            elif not force and parked.event is not None and parked.event.time < oldest:
                done.too_old += 1
            else:
                if not dry_run:
                    await _send(broker, delivery, target)
                    if rate:
                        await asyncio.sleep(1 / rate)
                done.sent += 1
                if done.sent >= limit:
                    break
    return done


async def _send(broker: RabbitBroker, delivery: Delivery, target: tuple[str, str | None]) -> None:
    exchange, key = target
    message = replace(delivery.message, headers=retry.fresh(delivery.message.headers))
    try:
        async with asyncio.timeout(broker.settings.rpc_seconds):
            outcome = await broker.publisher.publish(exchange, key or delivery.routing_key, message)
    except TimeoutError as error:
        raise BrokerError(f"the broker does not confirm message {message.message_id}") from error
    if outcome is not Outcome.CONFIRMED:
        raise BrokerError(
            f"message {message.message_id} was {outcome.value}; nothing else was sent."
            " Declare its queue with `migrate events topology --apply` and run this again"
        )
    delivery.channel.basic_ack(delivery.tag)


def _first_death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return deaths[0]
    return {}


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
