"""Settles a delivery: ack, or move it to a wait or dead queue by a confirmed publish and then ack."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import structlog

from shared.events.broker import Broker, Delivery, Outcome, Subscription
from shared.events.errors import BrokerError, TopologyError
from shared.events.topology import Topology

log = structlog.get_logger(__name__)

#: Longest wait for one confirm, in seconds; an alarm of the broker may last longer.
CONFIRM_SECONDS = 30.0
#: Pause before a refused move is tried again, in seconds.
PAUSE_SECONDS = 1.0


class Settler:
    """Moves never lose: the copy is confirmed before the original is acknowledged.

    A crash between the two leaves both; the inbox drops the second one.
    """

    def __init__(self, broker: Broker, topology: Topology) -> None:
        self._broker = broker
        self._topology = topology
        self.subscription: Subscription | None = None

    def ack(self, delivery: Delivery) -> None:
        """Done; nothing happens when its channel is gone, for then it comes again."""
        if self.subscription is not None:
            self.subscription.ack(delivery)

    def requeue(self, delivery: Delivery) -> None:
        """Give it back to its queue at once."""
        if self.subscription is not None:
            self.subscription.requeue(delivery)

    async def move(self, delivery: Delivery, queue: str, headers: Mapping[str, Any]) -> bool:
        """Copy to `queue` with other headers, then ack; False when the delivery's channel ended.

        Ends at the latest when the broker's consumer timeout closes the channel.
        """
        message = replace(
            delivery.message,
            headers=headers,
            message_id=delivery.message.message_id or str(uuid4()),
        )
        while delivery.is_settleable:
            try:
                async with asyncio.timeout(CONFIRM_SECONDS):
                    outcome = await self._broker.publisher.publish("", queue, message)
                if outcome is Outcome.CONFIRMED:
                    self.ack(delivery)
                    return True
                log.warning("event_not_moved", queue=queue, outcome=outcome.value)
                if outcome is Outcome.RETURNED:
                    await self._broker.declare(self._topology)
                    continue
            except (BrokerError, TopologyError, TimeoutError) as error:
                log.warning("event_move_waits", queue=queue, error=type(error).__name__)
            await self._broker.publisher.wait_ready(PAUSE_SECONDS)
            await asyncio.sleep(0.05)
        return False
