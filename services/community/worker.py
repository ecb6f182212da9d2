"""`python -m services.community.worker`: events of others, and the relay of our own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from services.community.consumers import CommunityEvents
from services.community.repository.accounts import Accounts
from shared.cache import Cache
from shared.events.worker import WorkerContext, WorkerPlan, run_worker
from shared.redis_connection import open_redis

NAME = "community"


@asynccontextmanager
async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    """The plan of this worker."""
    settings = context.settings
    accounts = Accounts(context.database.shared, settings.public_base_url)
    async with aclosing(open_redis(settings.redis_url.get_secret_value())) as redis:
        yield WorkerPlan(handlers=CommunityEvents(accounts, Cache(redis)).handlers())


if __name__ == "__main__":
    sys.exit(run_worker(NAME, build))
