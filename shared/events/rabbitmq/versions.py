"""Which RabbitMQ this code works on, judged by what the broker says of itself; pure.

What differs between 3.10 and 4.x and how the code meets it:

- `basic.nack` with requeue counts as a delivery up to 4.2 and no longer from 4.3: attempts are
  counted in a header of our own, and the limit of the broker only ends messages that kill workers;
- quorum queues have a delivery limit of 20 by default from 4.0, and drop what exceeds it: every
  queue that is consumed states its own limit;
- `x-death` of a message that a client publishes again is ignored from 4.0: it is not used;
- transient queues that are not exclusive, global QoS and mirrored queues are deprecated in 3.13
  and refused or gone later: none of them is used;
- classic queues are stored in another way from 4.0, and `frame_max` is at least 8192 from 4.1:
  all queues are quorum queues, and frames may be of 128 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Quorum queues with message TTL and at-least-once dead-lettering exist since this version.
LOWEST = (3, 10)
#: The newest major version whose documents this code was written by.
NEWEST_MAJOR = 4
#: What a broker must offer to clients; all since 3.2.
CAPABILITIES = (
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
)


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What a broker tells a client when a connection opens."""

    product: str
    version: str
    capabilities: Mapping[str, bool] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.product} {self.version}"

    @property
    def release(self) -> tuple[int, int]:
        """(major, minor); zeros for a version that cannot be read."""
        match = re.match(r"(\d+)\.(\d+)", self.version)
        return (int(match[1]), int(match[2])) if match else (0, 0)


def read_facts(properties: Mapping[str, Any] | None) -> BrokerFacts:
    """From the server properties of `connection.start` (AMQP 0-9-1, 1.4.2.1)."""
    found = properties or {}
    offered = found.get("capabilities")
    return BrokerFacts(
        _text(found.get("product")),
        _text(found.get("version")),
        {str(name): value is True for name, value in offered.items()}
        if isinstance(offered, Mapping)
        else {},
    )


def shortcomings(facts: BrokerFacts) -> tuple[str, ...]:
    """Why this broker cannot carry the events, one line each; empty when it can."""
    found: list[str] = []
    if facts.product != "RabbitMQ":
        found.append(f"{facts} is not RabbitMQ")
    if facts.release < LOWEST:
        found.append(f"{facts} is older than 3.10: no message TTL on quorum queues")
    found += [
        f"{facts} does not offer {name}"
        for name in CAPABILITIES
        if not facts.capabilities.get(name)
    ]
    return tuple(found)


def is_newer_than_known(facts: BrokerFacts) -> bool:
    """Whether it may behave in ways that nobody has compared with this code."""
    return facts.release[0] > NEWEST_MAJOR


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "?")
