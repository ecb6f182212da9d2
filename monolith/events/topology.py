"""Names and arguments on the broker (contract, 4): one exchange, one queue, waits, a parking place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WAIT_SECONDS = (5, 30, 300, 3600)
DELIVERY_LIMIT = 100  # ends a message that kills its worker before anything can be counted
NO_LIMIT = 2_000_000_000
ATTEMPT = "strangler-attempt"  # header: failed runs so far
REASON = "strangler-reason"  # header of parked messages
Arguments = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Names:
    """The exchange is everybody's; the queue and its neighbours are ours."""

    exchange: str
    queue: str

    @property
    def unrouted(self) -> str:
        """Exchange and queue of events that nobody is bound for."""
        return f"{self.exchange}.unrouted"

    @property
    def dead(self) -> str:
        return f"{self.queue}.dead"

    def wait(self, seconds: int) -> str:
        for unit, size in (("h", 3600), ("m", 60)):
            if seconds % size == 0:
                return f"{self.queue}.wait.{seconds // size}{unit}"
        return f"{self.queue}.wait.{seconds}s"


def queues(names: Names) -> dict[str, Arguments]:
    """Every queue of ours with its arguments."""
    quorum: Arguments = {"x-queue-type": "quorum"}
    back: Arguments = {
        **quorum,
        "x-dead-letter-exchange": "",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    made: dict[str, Arguments] = {names.dead: {**quorum, "x-delivery-limit": NO_LIMIT}}
    for seconds in WAIT_SECONDS:
        made[names.wait(seconds)] = {
            **back,
            "x-message-ttl": seconds * 1000,
            "x-dead-letter-routing-key": names.queue,
        }
    made[names.queue] = {
        **back,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-routing-key": names.dead,
    }
    return made
