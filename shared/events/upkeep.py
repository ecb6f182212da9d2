"""What every worker does by the clock for its events: measure the outbox, forget old inbox rows."""

from __future__ import annotations

from shared.events import inbox, outbox
from shared.events.metrics import EventMetrics
from shared.events.periodic import Periodic
from shared.placement.connection import Pool
from shared.placement.database import Database

MEASURE_SECONDS = 5.0
FORGET_SECONDS = 3600.0
FORGET_ROWS = 5000


def upkeep(consumer: str, database: Database, metrics: EventMetrics) -> list[Periodic]:
    """The jobs, for each database that the process reaches."""
    pools = database.pools
    databases: dict[str, Pool] = {"shared": pools.home}
    if pools.own is not None:
        databases["own"] = pools.own

    async def measure() -> None:
        for side, pool in databases.items():
            async with pool.acquire() as connection:
                found = await outbox.lag(connection)
            metrics.outbox_unsent.labels(side).set(found.unsent)
            metrics.outbox_oldest_seconds.labels(side).set(found.oldest_seconds)

    async def forget() -> None:
        pool = databases[database.placement.side]
        deleted = FORGET_ROWS
        while deleted == FORGET_ROWS:
            async with pool.acquire() as connection:
                deleted = await inbox.forget(
                    connection, consumer, inbox.RETENTION_SECONDS, FORGET_ROWS
                )

    return [
        Periodic("outbox-measure", MEASURE_SECONDS, measure),
        Periodic("inbox-forget", FORGET_SECONDS, forget),
    ]
