"""What a worker does by the clock for Idempotency-Keys: forget those that have expired."""

from __future__ import annotations

from shared.events.periodic import Periodic
from shared.idempotency.store import IdempotencyStore
from shared.placement.connection import Pool

PURGE_SECONDS = 300.0
PURGE_ROWS = 1000


def idempotency_jobs(shared: Pool) -> list[Periodic]:
    """The job, on the shared database. Workers that do it at the same time take different rows."""
    store = IdempotencyStore(shared)

    async def purge() -> int:
        """In batches, so that no statement holds many locks; gives how many keys went."""
        purged = 0
        while (deleted := await store.purge_expired(PURGE_ROWS)) == PURGE_ROWS:
            purged += deleted
        return purged + deleted

    return [Periodic("idempotency-purge", PURGE_SECONDS, purge)]
