"""Publishes with pipelined confirms on a connection of its own that repairs itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import UTC, datetime

import pika
import pika.channel
import pika.exceptions
import structlog
from pika import spec

from shared.events.broker import Message, Outcome
from shared.events.errors import BrokerLostError
from shared.events.metrics import EventMetrics
from shared.events.rabbitmq.link import (
    BrokerSettings,
    Connection,
    call,
    connect,
    disconnect,
    open_channel,
    reason,
)

log = structlog.get_logger(__name__)

PERSISTENT = 2
#: Time between two looks at a connection that is believed to be open, in seconds.
WATCH_SECONDS = 5.0
#: Longest time for the oldest confirm to be missing, in seconds; the relay gives up after 10.
UNCONFIRMED_SECONDS = 20.0


class RabbitPublisher:
    """One connection, one channel in confirm mode, any number of messages in flight.

    The broker numbers confirms from 1 per channel. A `basic.return` always comes before the ack of
    the same message (docs/confirms), so a returned message is known as such when its ack arrives.
    """

    def __init__(self, settings: BrokerSettings, metrics: EventMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._channel: pika.channel.Channel | None = None
        self._pending: dict[int, tuple[asyncio.Future[Outcome], str]] = {}
        self._returned: set[str] = set()
        self._sequence = 0
        self._blocked = False
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    @property
    def is_blocked(self) -> bool:
        """Whether an alarm of the broker (memory, disk) stops publishers."""
        return self._blocked

    def start(self) -> None:
        """Connect in the background and stay connected."""
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name="events-publisher")

    async def wait_ready(self, seconds: float) -> bool:
        self.start()
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    def publish(self, exchange: str, key: str, message: Message) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        channel = self._channel
        if channel is None:
            self.start()
            future.set_exception(BrokerLostError("not connected"))
            return future
        try:
            channel.basic_publish(exchange, key, message.body, _properties(message), mandatory=True)
        except pika.exceptions.AMQPError as error:
            future.set_exception(BrokerLostError(type(error).__name__))
            return future
        self._sequence += 1
        self._pending[self._sequence] = (future, message.message_id)
        return future

    async def close(self, seconds: float = 5.0) -> None:
        """Close the connection; what is not confirmed yet fails with BrokerLostError."""
        if self._task is not None:
            self._task.cancel()
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.gather(self._task, return_exceptions=True)
            except TimeoutError:
                log.warning("publisher_close_timed_out")
            self._task = None
        self._fail_pending("closed")

    # ---- supervision ---------------------------------------------------------------------------

    async def _supervise(self) -> None:
        settings = self._settings
        pause = settings.first_pause_seconds
        while True:
            try:
                await self._serve()
                pause = settings.first_pause_seconds
            except BrokerLostError as error:
                log.warning("broker_unreachable", purpose="publish", reason=error.reason)
            self._metrics.reconnects.labels("publish").inc()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, settings.longest_pause_seconds)

    async def _serve(self) -> None:
        """Connect, publish until the connection or channel ends, and clean up."""
        settings = self._settings
        closed = asyncio.Event()
        ended = asyncio.Event()
        reasons: list[str] = []

        def on_lost(why: str) -> None:
            reasons.append(why)
            closed.set()
            ended.set()

        connection = await connect(settings, "publish", on_lost)
        try:
            connection.add_on_connection_blocked_callback(self._on_blocked)
            connection.add_on_connection_unblocked_callback(self._on_unblocked)
            channel = await open_channel(connection, settings.rpc_seconds)
            channel.add_on_return_callback(self._on_return)

            def on_channel_closed(_channel: object, error: BaseException) -> None:
                reasons.append(reason(error))
                ended.set()

            channel.add_on_close_callback(on_channel_closed)
            await call(channel, "confirm_delivery", settings.rpc_seconds, self._on_confirm)
            self._open(channel)
            await self._watch(connection, ended, reasons)
            log.warning("broker_lost", purpose="publish", reason=reasons[0] if reasons else "")
        finally:
            self._shut()
            self._fail_pending(reasons[0] if reasons else "connection ended")
            await self._hang_up(connection, closed)

    async def _watch(
        self, connection: Connection, ended: asyncio.Event, reasons: list[str]
    ) -> None:
        """Wait for the end; a broker that owes a confirm for too long without an alarm is given up."""
        oldest, since = 0, 0.0
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await ended.wait()
            if not connection.is_open:
                reasons.append("the connection is closed")
                return
            now = asyncio.get_running_loop().time()
            first = next(iter(self._pending), 0)
            if first == 0 or first != oldest or self._blocked:
                oldest, since = first, now
            elif now - since > UNCONFIRMED_SECONDS:
                reasons.append("a confirm is missing")
                return

    async def _hang_up(self, connection: Connection, closed: asyncio.Event) -> None:
        await asyncio.shield(disconnect(connection, closed, seconds=3.0))

    def _open(self, channel: pika.channel.Channel) -> None:
        self._channel = channel
        self._sequence = 0
        self._returned.clear()
        self._blocked = False
        self._metrics.connected.labels("publish").set(1)
        self._metrics.blocked.set(0)
        self._ready.set()

    def _shut(self) -> None:
        self._channel = None
        self._ready.clear()
        self._metrics.connected.labels("publish").set(0)

    def _fail_pending(self, reason: str) -> None:
        """pika resolves nothing when a channel ends; whoever waits must learn it from us."""
        pending, self._pending = self._pending, {}
        for future, _message_id in pending.values():
            if not future.done():
                future.set_exception(BrokerLostError(reason))

    # ---- what the broker says ------------------------------------------------------------------

    def _on_confirm(self, frame: object) -> None:
        method = frame.method  # type: ignore[attr-defined]
        outcome = Outcome.CONFIRMED if isinstance(method, spec.Basic.Ack) else Outcome.REJECTED
        tag: int = method.delivery_tag
        if not method.multiple:
            self._resolve(tag, outcome)
            return
        done = []
        for number in self._pending:  # in order of publishing
            if number > tag:
                break
            done.append(number)
        for number in done:
            self._resolve(number, outcome)

    def _resolve(self, number: int, outcome: Outcome) -> None:
        entry = self._pending.pop(number, None)
        if entry is None:
            return
        future, message_id = entry
        if message_id in self._returned:
            self._returned.discard(message_id)
            outcome = Outcome.RETURNED
        if not future.done():  # a caller that gave up has cancelled it
            future.set_result(outcome)

    def _on_return(
        self, _channel: object, _method: object, properties: pika.BasicProperties, _body: bytes
    ) -> None:
        if properties.message_id:
            self._returned.add(properties.message_id)

    def _on_blocked(self, _connection: object, _frame: object) -> None:
        log.warning("broker_blocks_publishers")
        self._blocked = True
        self._ready.clear()
        self._metrics.blocked.set(1)

    def _on_unblocked(self, _connection: object, _frame: object) -> None:
        log.info("broker_unblocks_publishers")
        self._blocked = False
        self._metrics.blocked.set(0)
        if self._channel is not None:
            self._ready.set()


def _properties(message: Message) -> pika.BasicProperties:
    moment = message.timestamp or datetime.now(UTC)
    return pika.BasicProperties(
        content_type="application/json",
        delivery_mode=PERSISTENT,
        message_id=message.message_id,
        type=message.type,
        headers=dict(message.headers),
        timestamp=int(moment.timestamp()),
    )
