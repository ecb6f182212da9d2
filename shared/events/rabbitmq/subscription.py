"""Consumes from one queue on a connection of its own that repairs itself; knows no handler."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from datetime import UTC, datetime

import pika
import pika.channel
import pika.exceptions
import structlog

from shared.events.broker import Delivery, Message
from shared.events.errors import BrokerLostError, TopologyError
from shared.events.metrics import EventMetrics
from shared.events.rabbitmq.declare import declare
from shared.events.rabbitmq.link import (
    BrokerSettings,
    ChannelRefusedError,
    Connection,
    call,
    connect,
    disconnect,
    open_channel,
    reason,
)
from shared.events.topology import Topology

log = structlog.get_logger(__name__)

#: A wrong configuration is logged at most this often, in seconds; connecting goes on.
REPEAT_LOG_SECONDS = 60.0
#: Time between two looks at a connection that is believed to be open, in seconds.
WATCH_SECONDS = 5.0


class RabbitSubscription:
    """connect → declare → qos → consume, again and again: after a restart of the broker, a closed
    channel, a deleted queue (the broker cancels the consumer), or a wrong configuration."""

    def __init__(
        self,
        settings: BrokerSettings,
        queue: str,
        *,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        topology: Topology,
        metrics: EventMetrics,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._prefetch = prefetch
        self._on_delivery = on_delivery
        self._topology = topology
        self._metrics = metrics
        self._channel: pika.channel.Channel | None = None
        self._consumer_tag: str | None = None
        self._ended = asyncio.Event()
        self._cancelling = False
        self._logged_at = float("-inf")
        self._task = asyncio.create_task(self._supervise(), name=f"consume-{queue}")

    @property
    def is_active(self) -> bool:
        return self._consumer_tag is not None

    def ack(self, delivery: Delivery) -> None:
        if delivery.is_settleable:
            delivery.channel.basic_ack(delivery.tag)

    def requeue(self, delivery: Delivery) -> None:
        if delivery.is_settleable:
            delivery.channel.basic_nack(delivery.tag, requeue=True)

    async def cancel(self, seconds: float) -> None:
        self._cancelling = True
        channel, tag = self._channel, self._consumer_tag
        if channel is None or tag is None or not channel.is_open:
            return
        self._consumer_tag = None
        try:
            await call(channel, "basic_cancel", seconds, tag)
        except (BrokerLostError, ChannelRefusedError):
            return  # the channel is gone, and with it the consumer

    async def close(self, seconds: float) -> None:
        self._cancelling = True
        self._task.cancel()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(self._task, return_exceptions=True)
        except TimeoutError:
            log.warning("subscription_close_timed_out", queue=self._queue)

    # ---- supervision ---------------------------------------------------------------------------

    async def _supervise(self) -> None:
        settings = self._settings
        pause = settings.first_pause_seconds
        while True:
            try:
                await self._serve()
                pause = settings.first_pause_seconds
            except BrokerLostError as error:
                log.warning("broker_unreachable", queue=self._queue, reason=error.reason)
            except (TopologyError, ChannelRefusedError) as error:
                self._log_misconfiguration(error)
            self._metrics.reconnects.labels("consume").inc()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, settings.longest_pause_seconds)

    async def _serve(self) -> None:
        settings = self._settings
        closed = asyncio.Event()
        self._ended = ended = asyncio.Event()
        reasons: list[str] = []

        def on_lost(why: str) -> None:
            reasons.append(why)
            closed.set()
            self._end(ended)

        connection = await connect(settings, "consume", on_lost)
        try:
            await declare(connection, self._topology, settings.rpc_seconds)
            await self._consume(connection, ended, reasons)
            await self._watch(connection, ended, reasons)
            log.warning("consumer_lost", queue=self._queue, reason=reasons[0] if reasons else "")
        finally:
            self._channel = None
            self._consumer_tag = None
            self._metrics.connected.labels("consume").set(0)
            await asyncio.shield(disconnect(connection, closed, seconds=3.0))

    async def _consume(
        self, connection: Connection, ended: asyncio.Event, reasons: list[str]
    ) -> None:
        seconds = self._settings.rpc_seconds
        channel = await open_channel(connection, seconds)

        def on_channel_closed(_channel: object, error: BaseException) -> None:
            reasons.append(reason(error))
            self._end(ended)

        def on_cancelled(_frame: object) -> None:  # queue deleted, or its leader moved
            reasons.append("the broker cancelled the consumer")
            self._end(ended)

        channel.add_on_close_callback(on_channel_closed)
        channel.add_on_cancel_callback(on_cancelled)
        await call(channel, "basic_qos", seconds, prefetch_count=self._prefetch)
        self._channel = channel
        if self._cancelling:
            return
        answer = await call(channel, "basic_consume", seconds, self._queue, self._receive)
        self._consumer_tag = answer.method.consumer_tag
        self._metrics.connected.labels("consume").set(1)
        log.info("consuming", queue=self._queue, prefetch=self._prefetch)

    def _end(self, ended: asyncio.Event) -> None:
        self._consumer_tag = None
        ended.set()

    async def _watch(
        self, connection: Connection, ended: asyncio.Event, reasons: list[str]
    ) -> None:
        """Wait for the end, and look now and then in case nobody called back."""
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await ended.wait()
            if not connection.is_open:
                reasons.append("the connection is closed")
                return

    def _receive(
        self,
        channel: pika.channel.Channel,
        method: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        self._on_delivery(to_delivery(channel, method, properties, body))

    def _log_misconfiguration(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= REPEAT_LOG_SECONDS:
            log.error("broker_misconfigured", queue=self._queue, error=str(error))
            self._logged_at = now


def to_delivery(
    channel: pika.channel.Channel,
    method: pika.spec.Basic.Deliver,
    properties: pika.BasicProperties,
    body: bytes,
) -> Delivery:
    """A delivery (or an answer to basic.get) as our own type."""
    moment = properties.timestamp
    message = Message(
        body,
        properties.message_id or "",
        properties.type or "",
        properties.headers or {},
        datetime.fromtimestamp(moment, UTC) if moment else None,
    )
    return Delivery(message, method.routing_key, method.redelivered, method.delivery_tag, channel)
