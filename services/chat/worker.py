"""`python -m services.chat.worker`: events of others, pauses in conversations, the relay of our own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from services.chat.consumers import ChatEvents
from services.chat.repository.upkeep import BATCH_ROWS, complete_paused
from shared.cache import Cache
from shared.events.periodic import Periodic
from shared.events.worker import WorkerContext, WorkerPlan, run_worker
from shared.placement import Database
from shared.redis_connection import open_redis

NAME = "chat"
PAUSES_SECONDS = 60.0
#: Batches of one run; what is left waits for the next one.
BATCHES_MAX = 50


@asynccontextmanager
async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    """The plan of this worker."""
    async with aclosing(open_redis(context.settings.redis_url.get_secret_value())) as redis:
        yield WorkerPlan(
            handlers=ChatEvents(Cache(redis)).handlers(),
            periodic=[
                Periodic(
                    "conversation-pauses",
                    PAUSES_SECONDS,
                    lambda: publish_pauses(context.database),
                )
            ],
        )


async def publish_pauses(database: Database) -> int:
    """conversation.completed for all conversations that pause; returns how many there were."""
    published = 0
    for _ in range(BATCHES_MAX):
        count = await database.transaction(complete_paused)
        published += count
        if count < BATCH_ROWS:
            break
    return published


if __name__ == "__main__":
    sys.exit(run_worker(NAME, build))
