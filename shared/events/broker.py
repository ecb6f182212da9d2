"""What the event code needs of a broker: messages, outcomes and two protocols; knows no broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol

from shared.events.topology import Topology

Headers = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: a body with the properties that mirror its envelope."""

    body: bytes
    message_id: str
    type: str = ""
    headers: Headers = field(default_factory=lambda: MappingProxyType({}))
    timestamp: datetime | None = None


class Outcome(Enum):
    """What the broker did with a published message."""

    CONFIRMED = "confirmed"  # it is on disk in at least one queue
    RETURNED = "returned"  # no queue is bound for its key
    REJECTED = "rejected"  # the broker refused it (queue full, internal error)


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that must be settled once; settling after the channel is gone does nothing."""

    message: Message
    routing_key: str
    redelivered: bool
    tag: int
    channel: Any  # the transport's own

    @property
    def is_settleable(self) -> bool:
        """Whether the channel that it came on still lives; otherwise it comes again."""
        return bool(self.channel.is_open)


class Publisher(Protocol):
    """Publishes with confirms, pipelined, mandatory, persistent."""

    @property
    def is_ready(self) -> bool:
        """Connected and not blocked by an alarm of the broker."""
        ...

    async def wait_ready(self, seconds: float) -> bool:
        """Wait until ready; False when the time has passed."""
        ...

    def publish(self, exchange: str, key: str, message: Message) -> asyncio.Future[Outcome]:
        """Send now, learn the outcome later. The future raises BrokerLostError."""
        ...


class Subscription(Protocol):
    """Messages of one queue, delivered by callback, at most `prefetch` unsettled."""

    @property
    def is_active(self) -> bool:
        """Whether the broker delivers to us at the moment."""
        ...

    def ack(self, delivery: Delivery) -> None: ...

    def requeue(self, delivery: Delivery) -> None: ...

    async def cancel(self, seconds: float) -> None:
        """Ask for no more deliveries; what is unsettled can still be settled."""
        ...

    async def close(self, seconds: float) -> None:
        """End the subscription; what is unsettled goes back to the queue."""
        ...


class Broker(Protocol):
    """A connection to a broker that repairs itself; used by relay, consumers and tools."""

    @property
    def publisher(self) -> Publisher: ...

    async def declare(self, topology: Topology) -> None:
        """Declare what is missing, bind and unbind; raises TopologyError for what differs."""
        ...

    def subscribe(
        self,
        queue: str,
        *,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        topology: Topology,
    ) -> Subscription:
        """Consume from a queue for as long as the process lives.

        `topology` is declared before each (re)subscription, so a deleted queue comes back.
        """
        ...

    async def close(self) -> None: ...
