"""`python -m services.media.worker`: events of others, and the relay of our own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from services.media.consumers import MediaEvents
from services.media.settings import MediaWorkerSettings
from shared.cache import Cache
from shared.events.worker import WorkerContext, WorkerPlan, run_worker
from shared.redis_connection import open_redis
from shared.storage import open_storage

NAME = "media"


@asynccontextmanager
async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    """The plan of this worker. Raises TypeError for settings without a store of files."""
    settings = context.settings
    if not isinstance(settings, MediaWorkerSettings):
        raise TypeError("the media worker needs MediaWorkerSettings")
    async with (
        open_storage(settings) as storage,
        aclosing(open_redis(settings.redis_url.get_secret_value())) as redis,
    ):
        events = MediaEvents(context.database, storage, Cache(redis))
        yield WorkerPlan(handlers=events.handlers())


if __name__ == "__main__":
    sys.exit(run_worker(NAME, build, MediaWorkerSettings))
