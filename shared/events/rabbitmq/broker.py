"""RabbitMQ as the events' broker: one connection to publish, one per subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from shared.events.broker import Delivery
from shared.events.metrics import EventMetrics
from shared.events.rabbitmq.declare import declare
from shared.events.rabbitmq.link import BrokerSettings, Connection, connect, disconnect
from shared.events.rabbitmq.publisher import RabbitPublisher
from shared.events.rabbitmq.subscription import RabbitSubscription
from shared.events.topology import Topology


class RabbitBroker:
    """Nothing connects until something is published, declared or subscribed."""

    def __init__(self, settings: BrokerSettings, metrics: EventMetrics | None = None) -> None:
        self.settings = settings
        self._metrics = metrics or EventMetrics()
        self._publisher = RabbitPublisher(settings, self._metrics)
        self._subscriptions: list[RabbitSubscription] = []

    @property
    def publisher(self) -> RabbitPublisher:
        return self._publisher

    async def declare(self, topology: Topology) -> None:
        async with self.connection() as connection:
            await declare(connection, topology, self.settings.rpc_seconds)

    def subscribe(
        self,
        queue: str,
        *,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        topology: Topology,
    ) -> RabbitSubscription:
        subscription = RabbitSubscription(
            self.settings,
            queue,
            prefetch=prefetch,
            on_delivery=on_delivery,
            topology=topology,
            metrics=self._metrics,
        )
        self._subscriptions.append(subscription)
        return subscription

    @asynccontextmanager
    async def connection(self, purpose: str = "admin") -> AsyncIterator[Connection]:
        """A short-lived connection of its own, for tools. Raises BrokerLostError."""
        closed = asyncio.Event()
        connection = await connect(self.settings, purpose, lambda _reason: closed.set())
        try:
            yield connection
        finally:
            await asyncio.shield(disconnect(connection, closed, seconds=3.0))

    async def close(self) -> None:
        """Close every connection; unsettled messages go back to their queues."""
        await asyncio.gather(
            *(subscription.close(5.0) for subscription in self._subscriptions),
            self._publisher.close(5.0),
        )
        self._subscriptions.clear()
