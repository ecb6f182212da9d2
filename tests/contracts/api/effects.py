"""What workers do, here and now: events of the outbox to every domain on its side, and jobs by name."""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import asyncpg

from monolith.domains import DOMAINS
from monolith.events.envelope import read_envelope
from monolith.worker import Worker
from shared.events.broker import Delivery, Message
from shared.events.catalogue import shipped_catalogue
from shared.events.effects import Effects, Job
from shared.events.envelope import read_event
from shared.events.metrics import EventMetrics
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.worker import WorkerContext, WorkerPlan
from shared.placement.service import open_service_database
from tests.contracts.api.world import MANIFEST, World, monolith_settings, worker_settings

#: What the name of a job contains, in the old worker and in those of the services.
Word = Literal["webhooks", "quotas", "completed"]
JOBS: dict[Word, tuple[str, ...]] = {
    "webhooks": ("webhooks.retry", "webhook-sweep"),
    "quotas": ("quota",),
    "completed": ("complet", "pauses"),
}
HANDLER_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class ServiceWorker:
    """The plan of a service's worker, and what runs its handlers with their inbox rows."""

    name: str
    plan: WorkerPlan
    effects: Effects


class Workers:
    """The workers of one side, without a broker between them."""

    def __init__(
        self, database: asyncpg.Connection, old: Worker, services: Sequence[ServiceWorker]
    ) -> None:
        self._database = database
        self._old = old
        self.services = services
        self._catalogue = shipped_catalogue()

    async def settle(self) -> None:
        """Give every waiting event to every domain that wants it; fails with the first handler."""
        while rows := await self._database.fetch(
            "SELECT id, type, body FROM outbox WHERE sent_at IS NULL"
            " AND (deliver_after IS NULL OR deliver_after <= now()) ORDER BY id"
        ):
            for row in rows:
                await self._apply(row["body"])
                await self._database.execute(
                    "UPDATE outbox SET sent_at = now() WHERE id = $1", row["id"]
                )

    async def run(self, word: Word) -> None:
        """One turn of a job, on every worker that has it."""
        for schedule in self._old.schedules:
            if _is_called(schedule.name, word):
                await schedule.run(self._old.context)
        for service in self.services:
            for job in service.plan.periodic:
                if _is_called(job.name, word):
                    await job.run()

    async def _apply(self, body: str) -> None:
        event = read_event(body.encode())
        self._catalogue.check(event)
        message = Message(body.encode(), str(event.id), event.type)
        job = Job(Delivery(message, event.type, False, 1, None), event)
        for service in self.services:
            if event.type in service.plan.handlers:
                result = await service.effects.apply([job])
                for _, error in result.failed:
                    raise error
        await self._old.dispatcher.apply(read_envelope(json.loads(body)))


@asynccontextmanager
async def open_workers(
    world: World, services: Sequence[str], owner_api_url: str
) -> AsyncIterator[Workers]:
    """Workers of the services named, and the old one for every other domain."""
    async with AsyncExitStack() as stack:
        database = await asyncpg.connect(world.database_url)
        stack.push_async_callback(database.close)
        old = Worker(
            monolith_settings(world), [domain for domain in DOMAINS if domain.name not in services]
        )
        await stack.enter_async_context(old.opened())
        found: list[ServiceWorker] = []
        for name in services:
            context = await stack.enter_async_context(_context(name, world, owner_api_url))
            module: Any = importlib.import_module(f"services.{name}.worker")
            plan = await stack.enter_async_context(module.build(context))
            effects = Effects(name, plan.handlers, context.database, HANDLER_SECONDS)
            found.append(ServiceWorker(name, plan, effects))
        yield Workers(database, old, found)


def _is_called(name: str, word: Word) -> bool:
    return any(part in name for part in JOBS[word])


@asynccontextmanager
async def _context(name: str, world: World, owner_api_url: str) -> AsyncIterator[WorkerContext]:
    settings = worker_settings(name, world, owner_api_url)
    metrics = EventMetrics()
    async with open_service_database(name, settings, MANIFEST, kind="worker") as database:
        broker = RabbitBroker(BrokerSettings(world.rabbitmq_url, name=f"{name}-test"), metrics)
        try:
            yield WorkerContext(name, settings, MANIFEST, database, broker, metrics)
        finally:
            await broker.close()
