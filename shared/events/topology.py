"""Names, arguments and bindings that the events need on the broker; pure, talks to no broker.

Every queue is a quorum queue: durable, it counts deliveries and it is the type that RabbitMQ 4
steers to. Wait queues are a ladder of fixed delays whose messages go back to their queue by
dead-lettering; nothing needs a plugin, and nothing relies on `x-death`, which 4.x ignores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

#: Delays of the retry ladder in seconds (public contract, section 4).
LADDER_SECONDS = (5.0, 30.0, 300.0, 3600.0)
#: Deliveries after which the broker itself dead-letters a message. Our own header counts failures;
#: this only ends a message that kills its worker before anything can be counted. 4.x would use 20
#: by default and then drop the message; restarts of a healthy worker must not reach the limit.
DELIVERY_LIMIT = 100
#: "Unlimited" in a form that RabbitMQ 3.10 and 4.x both take; looking at parked messages counts.
NO_DELIVERY_LIMIT = 2_000_000_000

Arguments = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange that must exist."""

    name: str
    kind: str
    arguments: Arguments = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue that must exist."""

    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Binding:
    """A queue that must receive what is published under a key."""

    exchange: str
    queue: str
    key: str


@dataclass(frozen=True, slots=True)
class Names:
    """Every name on the broker. `prefix` separates installations that share one virtual host."""

    project: str
    prefix: str = ""

    @property
    def exchange(self) -> str:
        return f"{self.prefix}{self.project}.events"

    @property
    def unrouted(self) -> str:
        """Exchange and queue of events that no queue is bound for."""
        return f"{self.exchange}.unrouted"

    def queue(self, consumer: str) -> str:
        """The queue of a domain, or of `monolith`."""
        return f"{self.prefix}{consumer}.events"

    def dead(self, consumer: str) -> str:
        """Where messages of a consumer are parked."""
        return f"{self.queue(consumer)}.dead"

    def wait(self, consumer: str, seconds: float) -> str:
        """The queue in which messages of a consumer wait for so long."""
        return f"{self.queue(consumer)}.wait.{duration(seconds)}"


@dataclass(frozen=True, slots=True)
class Topology:
    """What must exist. `unbound` are bindings that must not exist (any more)."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    unbound: tuple[Binding, ...] = ()


def duration(seconds: float) -> str:
    """5.0 as `5s`, 300 as `5m`, 3600 as `1h`, 0.25 as `250ms`."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def quorum(**arguments: str | int) -> Arguments:
    """Arguments of a quorum queue; `dead_letter_exchange=…` becomes `x-dead-letter-exchange`."""
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return MappingProxyType({"x-queue-type": "quorum", **named})


def exchange_topology(names: Names) -> Topology:
    """The exchange that everybody publishes to and the net below it for unroutable events."""
    return Topology(
        exchanges=(
            Exchange(names.unrouted, "fanout"),
            Exchange(
                names.exchange, "topic", MappingProxyType({"alternate-exchange": names.unrouted})
            ),
        ),
        queues=(Queue(names.unrouted, quorum(delivery_limit=NO_DELIVERY_LIMIT)),),
        bindings=(Binding(names.unrouted, names.unrouted, "#"),),
    )


def consumer_topology(
    names: Names,
    consumer: str,
    types: Iterable[str],
    *,
    ladder: Iterable[float] = LADDER_SECONDS,
    known_types: Iterable[str] = (),
) -> Topology:
    """The queues of one consumer and its bindings; `known_types` it does not hear are unbound."""
    queue, dead = names.queue(consumer), names.dead(consumer)
    bound = sorted(set(types))
    waiting = tuple(
        Queue(
            names.wait(consumer, seconds),
            quorum(
                message_ttl=round(seconds * 1000),
                dead_letter_exchange="",
                dead_letter_routing_key=queue,
                # the broker confirms the move to itself before it forgets the waiting copy
                dead_letter_strategy="at-least-once",
                overflow="reject-publish",
            ),
        )
        for seconds in ladder
    )
    return Topology(
        exchanges=(),
        queues=(
            Queue(dead, quorum(delivery_limit=NO_DELIVERY_LIMIT)),
            *waiting,
            Queue(
                queue,
                quorum(
                    delivery_limit=DELIVERY_LIMIT,
                    dead_letter_exchange="",
                    dead_letter_routing_key=dead,
                    dead_letter_strategy="at-least-once",
                    overflow="reject-publish",
                ),
            ),
        ),
        bindings=tuple(Binding(names.exchange, queue, type_) for type_ in bound),
        unbound=tuple(
            Binding(names.exchange, queue, type_) for type_ in sorted(set(known_types) - set(bound))
        ),
    )


def merge(topologies: Iterable[Topology]) -> Topology:
    """One topology of several, in order, nothing twice."""
    parts = tuple(topologies)
    return Topology(
        exchanges=_unique(part.exchanges for part in parts),
        queues=_unique(part.queues for part in parts),
        bindings=_unique(part.bindings for part in parts),
        unbound=_unique(part.unbound for part in parts),
    )


def _unique(groups: Iterable[Iterable[Any]]) -> tuple[Any, ...]:
    found: dict[str, Any] = {}
    for group in groups:
        for item in group:
            found.setdefault(repr(item), item)
    return tuple(found.values())
