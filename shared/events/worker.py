"""The worker process of a service: consumer, relays and periodic jobs, from start to drain.

    @asynccontextmanager
    async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
        repository = ChatRepository(context.database)
        yield WorkerPlan(handlers={"user.deleted": Erasure(repository).erase},
                         periodic=[Periodic("completed", 60.0, repository.complete_idle)])

    if __name__ == "__main__":
        sys.exit(run_worker("chat", build))

Knows no domain. SIGTERM drains: no new messages, those in hand are finished, the outbox is flushed.
A second SIGTERM (Dokku sends one) changes nothing; a second SIGINT ends at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import structlog
import uvloop
from prometheus_client import REGISTRY, start_http_server
from pydantic import Field

from shared.errors import StranglerError
from shared.events.consumer import Consumer, ConsumerSettings, Handler
from shared.events.metrics import EventMetrics
from shared.events.periodic import Periodic, run_periodically
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.relay import Relay, RelaySettings
from shared.events.topology import Names
from shared.events.upkeep import upkeep
from shared.idempotency.jobs import idempotency_jobs
from shared.manifest import Manifest, load_manifest
from shared.observability.logs import configure_logs
from shared.observability.sentry import start_sentry
from shared.placement.database import Database
from shared.placement.pools import PoolSettings
from shared.placement.service import open_service_database
from shared.settings import AppSettings, load_settings

log = structlog.get_logger(__name__)


#: Longest time for a relay to wait for its worker's own queue, in seconds.
BOUND_SECONDS = 30.0
#: How soon a worker that is stopped before that notices, in seconds.
BOUND_CHECK_SECONDS = 0.25


class WorkerSettings(AppSettings):
    """What a worker reads beside the settings of its app."""

    manifest: str = "migration.toml"
    events_prefix: str = ""  # separates installations that share one virtual host
    events_heartbeat_seconds: int = Field(default=30, ge=2, le=600)
    events_lanes: int = Field(default=4, ge=1, le=64)
    events_batch_rows: int = Field(default=50, ge=1, le=500)
    events_prefetch: int = Field(default=300, ge=1, le=2000)
    worker_drain_seconds: float = Field(default=45.0, gt=0, le=300)  # Dokku kills after 60 + 30
    worker_metrics_port: int | None = Field(default=None, ge=0, le=65535)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a service builds its handlers from."""

    service: str
    settings: WorkerSettings
    manifest: Manifest
    database: Database
    broker: RabbitBroker
    metrics: EventMetrics


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a worker does: handlers by event type, and jobs by the clock."""

    handlers: Mapping[str, Handler] = field(default_factory=dict)
    periodic: Sequence[Periodic] = ()


Build = Callable[[WorkerContext], AbstractAsyncContextManager[WorkerPlan]]


def run_worker(
    service: str, build: Build, settings_type: type[WorkerSettings] = WorkerSettings
) -> int:
    """Work until SIGTERM; returns the exit code: 0 after a drain, 2 for wrong settings."""
    try:
        loaded = load_settings(settings_type)
        manifest = load_manifest(loaded.manifest)
    except StranglerError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    configure_logs(loaded.log_level, service=f"{service}-worker")
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # ours says the same in one line
    start_sentry(loaded, service=f"{service}-worker")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(service, build, loaded, manifest))
    return 0


@asynccontextmanager
async def running_worker(
    service: str,
    build: Build,
    settings: WorkerSettings,
    manifest: Manifest,
    metrics: EventMetrics | None = None,
) -> AsyncIterator[WorkerContext]:
    """A worker inside this process, drained at the end of the block: for tests and tiny systems."""
    counted = metrics or EventMetrics()
    names = Names(manifest.project.name, settings.events_prefix)
    relays: list[Relay] = []

    def kick() -> None:
        for relay in relays:
            relay.kick()

    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_service_database(
                service,
                settings,
                manifest,
                kind="worker",
                pool=PoolSettings(max_size=settings.events_lanes + 6),
                on_commit=kick,
            )
        )
        broker = RabbitBroker(_broker_settings(service, settings), counted)
        stack.push_async_callback(broker.close)
        context = WorkerContext(service, settings, manifest, database, broker, counted)
        plan = await stack.enter_async_context(build(context))
        consumer = _consumer(context, plan, names) if plan.handlers else None
        relays += _relays(context, names)
        relaying = [asyncio.create_task(_relay(relay, consumer)) for relay in relays]
        stack.push_async_callback(_stop_relays, relays, relaying)
        jobs = [
            *plan.periodic,
            *upkeep(context.service, database, counted),
            *idempotency_jobs(database.shared),
        ]
        periodic = [asyncio.create_task(run_periodically(job), name=job.name) for job in jobs]
        stack.push_async_callback(_stop_periodic, periodic)
        if consumer is not None:
            consumer.start()
            stack.push_async_callback(consumer.stop, settings.worker_drain_seconds)
        log.info("worker_started", handlers=len(plan.handlers), jobs=len(jobs))
        yield context
        log.info("worker_drains")
    log.info("worker_stopped")


async def _work(service: str, build: Build, settings: WorkerSettings, manifest: Manifest) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, stop)
    if settings.worker_metrics_port is not None:
        start_http_server(settings.worker_metrics_port, addr=settings.host)
    async with running_worker(service, build, settings, manifest, EventMetrics(REGISTRY)):
        await stop.wait()


def _on_signal(number: signal.Signals, stop: asyncio.Event) -> None:
    if stop.is_set() and number is signal.SIGINT:
        os._exit(130)  # a person at a terminal means it
    if stop.is_set():
        log.info("signal_ignored_while_draining", signal=number.name)
    stop.set()


def _broker_settings(service: str, settings: WorkerSettings) -> BrokerSettings:
    return BrokerSettings(
        settings.rabbitmq_url.get_secret_value(),
        name=f"{service}-worker",
        heartbeat_seconds=settings.events_heartbeat_seconds,
    )


def _relays(context: WorkerContext, names: Names) -> list[Relay]:
    """One relay per database that this process reaches: rows may be left in either."""
    pools = context.database.pools
    databases = {"shared": pools.home} | ({"own": pools.own} if pools.own is not None else {})
    return [
        Relay(
            pool,
            context.broker.publisher,
            names.exchange,
            settings=RelaySettings(),
            metrics=context.metrics,
            name=f"outbox-{side}",
        )
        for side, pool in databases.items()
    ]


def _consumer(context: WorkerContext, plan: WorkerPlan, names: Names) -> Consumer:
    settings = context.settings
    return Consumer(
        context.service,
        plan.handlers,
        database=context.database,
        broker=context.broker,
        names=names,
        settings=ConsumerSettings(
            lanes=settings.events_lanes,
            batch_rows=settings.events_batch_rows,
            prefetch=settings.events_prefetch,
        ),
        metrics=context.metrics,
    )


async def _relay(relay: Relay, consumer: Consumer | None) -> None:
    """Publish only once our own queue is bound: at a first start the events would be unroutable."""
    clock = asyncio.get_running_loop().time
    until = clock() + BOUND_SECONDS
    while consumer is not None and clock() < until and not relay.is_stopping:
        if await consumer.wait_active(BOUND_CHECK_SECONDS):
            break
    await relay.run()


async def _stop_relays(relays: Sequence[Relay], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Let each relay finish its batch; what is left in the outbox waits for the next process."""
    for relay in relays:
        relay.stop()
    await asyncio.wait(tasks, timeout=15.0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _stop_periodic(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
