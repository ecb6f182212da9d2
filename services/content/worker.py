"""`python -m services.content.worker`: events of others, and the catalogue's upkeep."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.content.consumers import ContentEvents
from shared.events.worker import WorkerContext, WorkerPlan, run_worker

NAME = "content"


@asynccontextmanager
async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    """The plan of this worker."""
    yield WorkerPlan(handlers=ContentEvents(context.database).handlers())


if __name__ == "__main__":
    sys.exit(run_worker(NAME, build))
