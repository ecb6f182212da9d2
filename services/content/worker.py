"""`python -m services.content.worker`: events of others, and the catalogue's upkeep."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.content.consumers import ContentEvents
from services.content.settings import ContentWorkerSettings
from services.content.sync import CatalogueSync, open_sync
from shared.events.periodic import Periodic
from shared.events.worker import WorkerContext, WorkerPlan, run_worker

NAME = "content"
#: One run reads some hundred details; most come from the cache.
SYNC_LIMIT_SECONDS = 1800.0


@asynccontextmanager
async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    """The plan of this worker."""
    handlers = ContentEvents(context.database).handlers()
    settings = context.settings
    if not isinstance(settings, ContentWorkerSettings):
        yield WorkerPlan(handlers=handlers)
        return
    async with open_sync(settings, context.database) as sync:
        periodic = [_by_the_clock(sync, settings)] if sync is not None else []
        yield WorkerPlan(handlers=handlers, periodic=periodic)


def _by_the_clock(sync: CatalogueSync, settings: ContentWorkerSettings) -> Periodic:
    return Periodic(
        "catalogue-sync",
        settings.sync_hours * 3600,
        lambda: sync.run(settings.sync_pages),
        limit_seconds=SYNC_LIMIT_SECONDS,
    )


if __name__ == "__main__":
    sys.exit(run_worker(NAME, build, ContentWorkerSettings))
