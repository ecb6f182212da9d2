"""Publisher and subscriptions of the broker in memory; routing and queues are the broker's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.events.broker import Delivery, Message, Outcome
from shared.events.errors import BrokerLostError
from shared.events.topology import Topology

if TYPE_CHECKING:
    from shared.events.memory import MemoryBroker

#: Header that counts what the broker delivered, as quorum queues have it.
DELIVERY_COUNT = "x-delivery-count"


@dataclass(slots=True, eq=False)
class MemoryChannel:
    """Lives until the subscription is cut off."""

    is_open: bool = True


class MemoryPublisher:
    """Confirms in the next turn of the event loop, so that pipelining is the same."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._pending: set[asyncio.Future[Outcome]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.is_blocked = False

    @property
    def is_ready(self) -> bool:
        return self._open.is_set()

    def block(self, blocked: bool) -> None:
        """An alarm of the broker begins or ends."""
        self.is_blocked = blocked
        if blocked:
            self._open.clear()
        else:
            self._open.set()

    async def wait_ready(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._open.wait()
        except TimeoutError:
            return False
        return True

    def publish(self, exchange: str, key: str, message: Message) -> asyncio.Future[Outcome]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._pending.add(future)

        def confirm() -> None:
            self._pending.discard(future)
            if future.done():
                return
            try:
                routed = self._broker.route(exchange, key, message)
            except BrokerLostError as error:
                future.set_exception(error)
                return
            future.set_result(Outcome.CONFIRMED if routed else Outcome.RETURNED)

        loop.call_soon(confirm)
        return future

    def fail_pending(self) -> None:
        """The connection is gone: nobody knows what became of these."""
        pending, self._pending = self._pending, set()
        for future in pending:
            if not future.done():
                future.set_exception(BrokerLostError("cut"))


class MemorySubscription:
    """Delivers to a callback while fewer than `prefetch` messages are unsettled."""

    def __init__(
        self,
        broker: MemoryBroker,
        queue: str,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        topology: Topology,
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._on_delivery = on_delivery
        self._topology = topology
        self._unsettled: dict[int, tuple[str, Message]] = {}
        self._channel = MemoryChannel()
        self._tag = 0
        self._stopped = False
        self.task: asyncio.Task[None] | None = None

    @property
    def is_active(self) -> bool:
        queue = self._broker.queues.get(self._queue)
        return queue is not None and self in queue.subscriptions

    @property
    def has_room(self) -> bool:
        return len(self._unsettled) < self._prefetch

    async def attach(self) -> None:
        """Declare the topology and begin to consume."""
        await self._broker.declare(self._topology)
        queue = self._broker.queues[self._queue]
        queue.subscriptions.append(self)
        self._broker.hand_out(queue)

    def deliver(self, key: str, message: Message) -> None:
        """Called by the broker."""
        self._tag += 1
        self._unsettled[self._tag] = (key, message)
        redelivered = DELIVERY_COUNT in message.headers
        self._on_delivery(Delivery(message, key, redelivered, self._tag, self._channel))

    def ack(self, delivery: Delivery) -> None:
        if delivery.is_settleable and self._unsettled.pop(delivery.tag, None) is not None:
            self._fill()

    def requeue(self, delivery: Delivery) -> None:
        if delivery.is_settleable and (entry := self._unsettled.pop(delivery.tag, None)):
            self._broker.give_back(self._queue, *entry)

    async def cancel(self, seconds: float) -> None:
        self._stopped = True
        self._detach()

    async def close(self, seconds: float) -> None:
        self._stopped = True
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)
        self._detach()
        self._give_everything_back()

    def cut(self) -> None:
        """The channel is gone: everything unsettled goes back, and we subscribe again."""
        self._detach()
        self._give_everything_back()
        if not self._stopped:
            self.task = asyncio.create_task(self.attach())

    def _detach(self) -> None:
        queue = self._broker.queues.get(self._queue)
        if queue is not None and self in queue.subscriptions:
            queue.subscriptions.remove(self)

    def _give_everything_back(self) -> None:
        self._channel.is_open = False
        self._channel = MemoryChannel()
        unsettled, self._unsettled = self._unsettled, {}
        for entry in reversed(unsettled.values()):
            self._broker.give_back(self._queue, *entry)

    def _fill(self) -> None:
        queue = self._broker.queues.get(self._queue)
        if queue is not None:
            self._broker.hand_out(queue)
