"""`python -m services.analytics.worker`: counts what the other domains tell."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.analytics.consumers import AnalyticsEvents
from shared.events.worker import WorkerContext, WorkerPlan, run_worker

NAME = "analytics"


@asynccontextmanager
async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    """The plan of this worker."""
    yield WorkerPlan(handlers=AnalyticsEvents(context.database).handlers())


if __name__ == "__main__":
    sys.exit(run_worker(NAME, build))
