"""The inbox: which events a consumer has handled. Owns the SQL on `inbox`; knows no broker."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from shared.events.envelope import Event
from shared.placement.connection import Connection

#: How long a handled event is remembered, in seconds (14 days). Replaying anything older could
#: apply it twice, so `migrate events replay` refuses to.
RETENTION_SECONDS = 14 * 86_400.0

# Sorted, so that two workers that were handed the same events wait for each other in one order.
_RECORD = """
INSERT INTO inbox (consumer, event_id, type)
SELECT $1, e.id, e.type FROM unnest($2::uuid[], $3::text[]) AS e(id, type) ORDER BY e.id
ON CONFLICT DO NOTHING RETURNING event_id
"""
_DELETE = """
DELETE FROM inbox WHERE (consumer, event_id) IN (
  SELECT consumer, event_id FROM inbox
  WHERE consumer = $1 AND handled_at < clock_timestamp() - make_interval(secs => $2) LIMIT $3)
"""


async def record(connection: Connection, consumer: str, events: Iterable[Event]) -> set[UUID]:
    """Note that `consumer` handles `events` in this transaction; returns the ids that are new.

    Waits for another transaction that handles one of them: then it is new only if that one fails.
    """
    batch = list(events)
    rows = await connection.fetch(
        _RECORD, consumer, [event.id for event in batch], [event.type for event in batch]
    )
    return {row["event_id"] for row in rows}


async def forget(
    connection: Connection, consumer: str, older_than_seconds: float, limit: int
) -> int:
    """Remove at most `limit` rows of a consumer that are older; returns how many."""
    status = await connection.execute(_DELETE, consumer, older_than_seconds, limit)
    return int(status.rpartition(" ")[2])
