"""A broker in memory with the rules of RabbitMQ that the event code relies on: for tests and tools.

Relay, consumer, retry ladder and parking run on it unchanged. It loses everything with the process,
so nothing in production uses it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.events.broker import Delivery, Message
from shared.events.errors import BrokerLostError, TopologyError
from shared.events.memory_clients import DELIVERY_COUNT, MemoryPublisher, MemorySubscription
from shared.events.topology import Queue, Topology


@dataclass(slots=True)
class MemoryQueue:
    """Messages (with their routing key) in order, and who consumes."""

    name: str
    arguments: Mapping[str, Any]
    messages: deque[tuple[str, Message]] = field(default_factory=deque)
    subscriptions: list[MemorySubscription] = field(default_factory=list)
    dropped: int = 0


class MemoryBroker:
    """Exchanges, queues, bindings, alternate exchanges, message TTL, dead-lettering, delivery limit."""

    def __init__(self) -> None:
        self.queues: dict[str, MemoryQueue] = {}
        self._exchanges: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._bindings: set[tuple[str, str, str]] = set()
        self._publisher = MemoryPublisher(self)
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    def publisher(self) -> MemoryPublisher:
        return self._publisher

    async def declare(self, topology: Topology) -> None:
        problems: list[str] = []
        for exchange in topology.exchanges:
            wanted = (exchange.kind, dict(exchange.arguments))
            if self._exchanges.setdefault(exchange.name, wanted) != wanted:
                problems.append(f"exchange {exchange.name}: exists with other settings")
        for queue in topology.queues:
            known = self.queues.setdefault(queue.name, MemoryQueue(queue.name, queue.arguments))
            if dict(known.arguments) != dict(queue.arguments):
                problems.append(f"queue {queue.name}: exists with other settings")
        if problems:
            raise TopologyError(problems)
        for binding in topology.bindings:
            self._bindings.add((binding.exchange, binding.queue, binding.key))
        for binding in topology.unbound:
            self._bindings.discard((binding.exchange, binding.queue, binding.key))

    def subscribe(
        self,
        queue: str,
        *,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        topology: Topology,
    ) -> MemorySubscription:
        subscription = MemorySubscription(self, queue, prefetch, on_delivery, topology)
        subscription.task = asyncio.create_task(subscription.attach())
        return subscription

    async def close(self) -> None:
        """Forget the timers and end every subscription."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for queue in list(self.queues.values()):
            for subscription in list(queue.subscriptions):
                await subscription.close(0)

    # ---- faults that tests ask for -------------------------------------------------------------

    def cut_connections(self) -> None:
        """End every channel at once, as a broken network does; subscribers come back."""
        self._publisher.fail_pending()
        for queue in self.queues.values():
            for subscription in list(queue.subscriptions):
                subscription.cut()

    def delete_queue(self, name: str) -> None:
        """Delete a queue with its messages; the broker cancels its consumers."""
        queue = self.queues.pop(name)
        self._bindings = {binding for binding in self._bindings if binding[1] != name}
        for subscription in list(queue.subscriptions):
            subscription.cut()

    # ---- routing -------------------------------------------------------------------------------

    def route(self, exchange: str, key: str, message: Message) -> bool:
        """Put a message into every bound queue; False when there is none."""
        if exchange == "":
            if key not in self.queues:
                return False
            self.enqueue(key, key, message)
            return True
        if exchange not in self._exchanges:
            raise BrokerLostError(f"404 no exchange {exchange}")
        kind, arguments = self._exchanges[exchange]
        found = {
            queue
            for source, queue, pattern in self._bindings
            if source == exchange and (kind == "fanout" or matches(pattern, key))
        }
        for queue in found & self.queues.keys():
            self.enqueue(queue, key, message)
        if not found and "alternate-exchange" in arguments:
            return self.route(arguments["alternate-exchange"], key, message)
        return bool(found)

    def enqueue(self, name: str, key: str, message: Message, *, front: bool = False) -> None:
        """Add a message to a queue, hand it out, and start its time to live."""
        queue = self.queues.get(name)
        if queue is None:
            return
        entry = (key, message)
        if front:
            queue.messages.appendleft(entry)
        else:
            queue.messages.append(entry)
        ttl = queue.arguments.get("x-message-ttl")
        if ttl is not None:
            self._later(ttl / 1000, lambda: self._expire(queue, entry))
        self.hand_out(queue)

    def hand_out(self, queue: MemoryQueue) -> None:
        """Deliver while there are messages and consumers with room."""
        while queue.messages:
            subscription = next((one for one in queue.subscriptions if one.has_room), None)
            if subscription is None:
                return
            key, message = queue.messages.popleft()
            subscription.deliver(key, message)

    def give_back(self, queue_name: str, key: str, message: Message) -> None:
        """Requeue a delivered message, or dead-letter it when it was delivered too often."""
        queue = self.queues.get(queue_name)
        if queue is None:
            return
        count = int(message.headers.get(DELIVERY_COUNT, 0)) + 1
        counted = replace(message, headers={**message.headers, DELIVERY_COUNT: count})
        limit = queue.arguments.get("x-delivery-limit")
        if limit is not None and count > limit:
            self._dead_letter(queue, key, counted)
        else:
            self.enqueue(queue_name, key, counted, front=True)

    def _expire(self, queue: MemoryQueue, entry: tuple[str, Message]) -> None:
        if entry in queue.messages:
            queue.messages.remove(entry)
            self._dead_letter(queue, *entry)

    def _dead_letter(self, queue: MemoryQueue, key: str, message: Message) -> None:
        exchange = queue.arguments.get("x-dead-letter-exchange")
        if exchange is None:
            queue.dropped += 1
            return
        self.route(exchange, queue.arguments.get("x-dead-letter-routing-key", key), message)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)


def matches(pattern: str, key: str) -> bool:
    """Topic matching: `*` is one word, `#` any number of words (AMQP 0-9-1, 3.1.3.3)."""

    def match(left: list[str], right: list[str]) -> bool:
        if not left:
            return not right
        if left[0] == "#":
            return any(match(left[1:], right[start:]) for start in range(len(right) + 1))
        return bool(right) and left[0] in ("*", right[0]) and match(left[1:], right[1:])

    return match(pattern.split("."), key.split("."))


def queue_depth(broker: MemoryBroker, queue: Queue | str) -> int:
    """Messages in a queue that nobody holds."""
    name = queue if isinstance(queue, str) else queue.name
    known = broker.queues.get(name)
    return len(known.messages) if known is not None else 0
