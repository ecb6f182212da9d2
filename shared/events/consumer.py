"""Handles the events of one queue: inbox row and effect in one transaction, then ack.

Knows neither RabbitMQ nor any domain. Deliveries are spread over lanes by their key, so events of
one user are handled one after the other; a lane handles up to a batch of events per transaction.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from shared.events.breaker import Breaker, BreakerSettings
from shared.events.broker import Broker, Delivery
from shared.events.catalogue import Catalogue, shipped_catalogue
from shared.events.effects import Effects, Job
from shared.events.envelope import Event, read_event
from shared.events.errors import UnreadableEventError
from shared.events.metrics import EventMetrics
from shared.events.retry import Park, Wait, after_deferral, after_failure, parked
from shared.events.settle import Settler
from shared.events.topology import (
    LADDER_SECONDS,
    Names,
    Topology,
    consumer_topology,
    exchange_topology,
    merge,
)
from shared.observability.reports import report_exception
from shared.placement.connection import Connection
from shared.placement.database import Database

log = structlog.get_logger(__name__)

Handler = Callable[[Connection, Event], Awaitable[None]]

#: Time between two looks at whether the broker delivers, in seconds.
ACTIVE_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """Sizes in messages, times in seconds."""

    lanes: int = 4
    batch_rows: int = 50
    prefetch: int = 300  # RabbitMQ's advice is 100 to 300
    ladder: tuple[float, ...] = LADDER_SECONDS
    handler_seconds: float = 25.0  # below the session's idle-in-transaction limit (30 s)
    batch_seconds: float = 0.5  # batches shrink so that one transaction takes no longer
    outage_pause_seconds: float = 0.2  # first pause while the database is away, doubling
    outage_longest_seconds: float = 5.0
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


class CircuitOpenError(Exception):
    """Why a message was put off without a run."""


class Consumer:
    """One consumer: a domain with its handlers by event type."""

    def __init__(
        self,
        consumer: str,
        handlers: Mapping[str, Handler],
        *,
        database: Database,
        broker: Broker,
        names: Names,
        settings: ConsumerSettings | None = None,
        catalogue: Catalogue | None = None,
        metrics: EventMetrics | None = None,
    ) -> None:
        self.consumer = consumer
        self.queue = names.queue(consumer)
        self._names = names
        self._handlers = dict(handlers)
        self._broker = broker
        self._settings = settings or ConsumerSettings()
        self._catalogue = catalogue or shipped_catalogue()
        self._metrics = metrics or EventMetrics()
        self._settler = Settler(broker, self.topology)
        self._effects = Effects(consumer, self._handlers, database, self._settings.handler_seconds)
        self._breakers: dict[str, Breaker] = {}
        self._lanes: list[asyncio.Queue[Job | None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._parking: set[asyncio.Task[None]] = set()

    @property
    def topology(self) -> Topology:
        """What must exist on the broker for this consumer."""
        return merge(
            (
                exchange_topology(self._names),
                consumer_topology(
                    self._names,
                    self.consumer,
                    self._handlers,
                    ladder=self._settings.ladder,
                    known_types=self._catalogue.types,
                ),
            )
        )

    @property
    def is_active(self) -> bool:
        """Whether the broker delivers to us at the moment."""
        subscription = self._settler.subscription
        return subscription is not None and subscription.is_active

    async def wait_active(self, seconds: float) -> bool:
        """Wait until its queue is bound and consumed; False when the time has passed."""
        for _ in range(int(seconds / ACTIVE_POLL_SECONDS)):
            if self.is_active:
                return True
            await asyncio.sleep(ACTIVE_POLL_SECONDS)
        return self.is_active

    def start(self) -> None:
        """Begin to consume in the background; once is enough, and twice is the same as once."""
        if self._settler.subscription is not None:
            return
        settings = self._settings
        self._lanes = [asyncio.Queue() for _ in range(settings.lanes)]
        self._tasks = [
            asyncio.create_task(self._run_lane(lane), name=f"{self.queue}-lane-{number}")
            for number, lane in enumerate(self._lanes)
        ]
        self._settler.subscription = self._broker.subscribe(
            self.queue,
            prefetch=settings.prefetch,
            on_delivery=self._receive,
            topology=self.topology,
        )

    async def stop(self, seconds: float = 30.0) -> None:
        """Take no more messages, finish those in hand within `seconds`, give back the rest."""
        subscription = self._settler.subscription
        if subscription is None:
            return
        await subscription.cancel(min(seconds, 5.0))
        for lane in self._lanes:
            lane.put_nowait(None)
        running = [*self._tasks, *self._parking]
        _done, late = await asyncio.wait(running, timeout=seconds) if running else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for lane in self._lanes:
            while not lane.empty():
                if (job := lane.get_nowait()) is not None:
                    self._settler.requeue(job.delivery)
        await subscription.close(5.0)
        self._settler.subscription = None

    # ---- taking messages -----------------------------------------------------------------------

    def _receive(self, delivery: Delivery) -> None:
        """Called by the broker's subscription; never blocks."""
        try:
            event = read_event(delivery.message.body)
        except UnreadableEventError as error:
            self._park_aside(delivery, "unreadable", error)
            return
        if event.type not in self._handlers:
            self._settler.ack(delivery)
            self._count(event.type if event.type in self._catalogue.types else "other", "unknown")
            return
        if not self._catalogue.knows(event.type, event.version):
            unknown = UnreadableEventError(f"version {event.version} of {event.type} is not known")
            self._park_aside(delivery, "version", unknown)
            return
        lane = zlib.crc32(event.partition_key.encode()) % len(self._lanes)
        self._metrics.in_flight.labels(self.consumer).inc()
        self._lanes[lane].put_nowait(Job(delivery, event))

    def _park_aside(self, delivery: Delivery, reason: str, error: Exception) -> None:
        step = parked(
            delivery.message.headers, reason, queue=self.queue, now=datetime.now(UTC), error=error
        )
        log.error("event_parked", queue=self.queue, reason=reason, error=str(error))
        task = asyncio.create_task(self._park(delivery, step, "other"))
        self._parking.add(task)
        task.add_done_callback(self._parking.discard)

    async def _run_lane(self, lane: asyncio.Queue[Job | None]) -> None:
        size = max(1, self._settings.batch_rows // 5)  # grows when handlers are quick
        loop = asyncio.get_running_loop()
        while (first := await lane.get()) is not None:
            batch = [first]
            while len(batch) < size and not lane.empty():
                job = lane.get_nowait()
                if job is None:
                    lane.put_nowait(None)
                    break
                batch.append(job)
            started = loop.time()
            try:
                await self._handle(batch)
            except Exception as error:  # a lane must not die: its messages stay and come again
                report_exception(error, queue=self.queue)
                for job in batch:
                    self._settler.requeue(job.delivery)
                await asyncio.sleep(self._settings.outage_pause_seconds)
            finally:
                self._metrics.in_flight.labels(self.consumer).dec(len(batch))
            each = max((loop.time() - started) / len(batch), 1e-6)
            fitting = max(1, int(self._settings.batch_seconds / each))
            size = min(self._settings.batch_rows, fitting, size * 2)

    # ---- handling ------------------------------------------------------------------------------

    async def _handle(self, jobs: Sequence[Job]) -> None:
        """Bring every job to its end, through an outage of the database."""
        waiting = [job for job in jobs if await self._is_admitted(job)]
        pause = self._settings.outage_pause_seconds
        while waiting := [job for job in waiting if job.delivery.is_settleable]:
            with self._metrics.batch_seconds.labels(self.consumer).time():
                result = await self._effects.apply(waiting)
            for job in result.done:
                self._finish(job, "done" if job.event.id in result.fresh else "duplicate")
            for job, error in result.failed:
                await self._fail(job, error)
            if not result.postponed:
                return
            waiting = list(result.postponed)  # the database is away: hold them and wait
            log.warning("consumer_waits_for_database", queue=self.queue, error=result.outage)
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._settings.outage_longest_seconds)
        for job in jobs:
            self._breaker(job.event.type).abandoned()

    async def _is_admitted(self, job: Job) -> bool:
        """Whether the job may run; otherwise its breaker is open and it has gone waiting."""
        pause = self._breaker(job.event.type).wait_seconds(asyncio.get_running_loop().time())
        if pause <= 0:
            return True
        step = after_deferral(
            job.delivery.message.headers,
            pause,
            CircuitOpenError(f"too many failures of {job.event.type}"),
            ladder=self._settings.ladder,
            queue=self.queue,
            now=datetime.now(UTC),
        )
        await self._take_step(job, step, "deferred")
        return False

    def _finish(self, job: Job, outcome: str) -> None:
        self._breaker(job.event.type).succeeded()
        self._settler.ack(job.delivery)
        self._count(job.event.type, outcome)
        age = (datetime.now(UTC) - job.event.time).total_seconds()
        self._metrics.dwell_seconds.labels(self.consumer).observe(max(age, 0.0))

    async def _fail(self, job: Job, error: Exception) -> None:
        self._breaker(job.event.type).failed(asyncio.get_running_loop().time())
        step = after_failure(
            job.delivery.message.headers,
            error,
            ladder=self._settings.ladder,
            queue=self.queue,
            now=datetime.now(UTC),
        )
        if isinstance(step, Park):
            report_exception(error, queue=self.queue, event_id=str(job.event.id))
        else:
            log.warning(
                "event_failed",
                queue=self.queue,
                type=job.event.type,
                event_id=str(job.event.id),
                error=type(error).__name__,
                again_in_seconds=step.seconds,
            )
        await self._take_step(job, step, "retry")

    async def _take_step(self, job: Job, step: Wait | Park, outcome: str) -> None:
        if isinstance(step, Park):
            await self._park(job.delivery, step, job.event.type)
            return
        queue = self._names.wait(self.consumer, step.seconds)
        if await self._settler.move(job.delivery, queue, step.headers):
            self._count(job.event.type, outcome)

    async def _park(self, delivery: Delivery, step: Park, type_: str) -> None:
        if await self._settler.move(delivery, self._names.dead(self.consumer), step.headers):
            self._count(type_, "parked")

    def _breaker(self, type_: str) -> Breaker:
        if type_ not in self._breakers:
            self._breakers[type_] = Breaker(self._settings.breaker)
        return self._breakers[type_]

    def _count(self, type_: str, outcome: str) -> None:
        self._metrics.handled.labels(self.consumer, type_, outcome).inc()
