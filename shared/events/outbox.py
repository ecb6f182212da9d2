"""The transactional outbox: the only way to publish. Owns the SQL on `outbox`; knows no broker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.events.catalogue import Catalogue, shipped_catalogue
from shared.events.envelope import Event
from shared.events.errors import EventTooLargeError, OutsideTransactionError
from shared.placement.connection import Connection

#: Largest event that is taken, in bytes: brokers carry news, not files.
MAX_EVENT_BYTES = 256 * 1024

_INSERT = """
INSERT INTO outbox (event_id, type, partition_key, body, headers, deliver_after)
SELECT e.id, e.type, e.key, e.body::jsonb, e.headers::jsonb, $6
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
     AS e(id, type, key, body, headers)
"""
_DUE = """
SELECT id, event_id, type, partition_key, body::text AS body, headers::text AS headers, created_at
FROM outbox
WHERE sent_at IS NULL AND (deliver_after IS NULL OR deliver_after <= now())
ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_MARK_SENT = """
UPDATE outbox SET sent_at = clock_timestamp(), attempts = attempts + 1, last_error = NULL
WHERE id = ANY($1::bigint[])
"""
# The pause doubles with every attempt: rows that nobody takes must not be tried in a hot loop.
_MARK_FAILED = """
UPDATE outbox SET attempts = attempts + 1, last_error = $2,
  deliver_after = clock_timestamp()
    + make_interval(secs => least($3::float8 * 2 ^ least(attempts, 20), $4::float8))
WHERE id = ANY($1::bigint[])
"""
_DELETE_SENT = """
DELETE FROM outbox WHERE id IN (
  SELECT id FROM outbox WHERE sent_at < clock_timestamp() - make_interval(secs => $1)
  ORDER BY id LIMIT $2)
"""
_LAG = """
SELECT count(*) AS unsent,
       count(*) FILTER (WHERE last_error IS NOT NULL) AS failing,
       coalesce(extract(epoch FROM clock_timestamp() - min(greatest(created_at, deliver_after))
         FILTER (WHERE last_error IS NULL AND (deliver_after IS NULL OR deliver_after <= now()))
         ), 0)::float8 AS oldest_seconds,
       max(last_error) AS last_error
FROM outbox WHERE sent_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row that waits for the relay."""

    id: int
    event_id: UUID
    type: str
    partition_key: str
    body: bytes
    headers: Mapping[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OutboxLag:
    """How far the relay is behind: rows, and seconds since the oldest due row was committed."""

    unsent: int
    failing: int
    oldest_seconds: float
    last_error: str | None


async def add(
    connection: Connection,
    *events: Event,
    deliver_after: datetime | None = None,
    catalogue: Catalogue | None = None,
) -> None:
    """Publish `events` if and when the running transaction commits.

    Raises OutsideTransactionError, UnknownEventTypeError, InvalidEventError, EventTooLargeError;
    then nothing is stored.
    """
    if not connection.is_in_transaction():
        raise OutsideTransactionError
    known = catalogue or shipped_catalogue()
    bodies: list[str] = []
    for event in events:
        known.check(event)
        body = event.model_dump_json()
        if (size := len(body.encode())) > MAX_EVENT_BYTES:
            raise EventTooLargeError(event.type, size, MAX_EVENT_BYTES)
        bodies.append(body)
    if not events:
        return
    await connection.execute(
        _INSERT,
        [event.id for event in events],
        [event.type for event in events],
        [event.partition_key for event in events],
        bodies,
        [json.dumps(_headers(event)) for event in events],
        deliver_after,
    )


def _headers(event: Event) -> dict[str, str]:
    return {"traceparent": event.traceparent} if event.traceparent else {}


async def take_due(connection: Connection, limit: int) -> list[OutboxRow]:
    """Lock and read due rows, oldest first, that no other relay holds; needs a transaction.

    Never by "id greater than the last": ids are drawn before they are committed, so a slow
    transaction would commit a lower id later and be skipped for ever.
    """
    return [
        OutboxRow(
            row["id"],
            row["event_id"],
            row["type"],
            row["partition_key"],
            row["body"].encode(),
            {} if row["headers"] == "{}" else json.loads(row["headers"]),
            row["created_at"],
        )
        for row in await connection.fetch(_DUE, limit)
    ]


async def mark_sent(connection: Connection, ids: Sequence[int]) -> None:
    """Rows that the broker has confirmed and not returned."""
    if ids:
        await connection.execute(_MARK_SENT, ids)


async def mark_failed(
    connection: Connection,
    ids: Sequence[int],
    error: str,
    *,
    first_pause_seconds: float,
    longest_pause_seconds: float,
) -> None:
    """Rows that the broker returned or refused: they stay, and are due again after a pause."""
    if ids:
        await connection.execute(
            _MARK_FAILED, ids, error, first_pause_seconds, longest_pause_seconds
        )


async def delete_sent(connection: Connection, older_than_seconds: float, limit: int) -> int:
    """Remove at most `limit` rows that were sent long ago; returns how many."""
    status = await connection.execute(_DELETE_SENT, older_than_seconds, limit)
    return int(status.rpartition(" ")[2])


async def send_again(
    connection: Connection, *, since_seconds: float, type_: str | None = None
) -> int:
    """Send what was sent in the last seconds once more; returns how many rows.

    For messages that were lost behind the broker's confirm: a queue that somebody deleted.
    Consumers drop what they have handled.
    """
    status = await connection.execute(
        "UPDATE outbox SET sent_at = NULL, deliver_after = NULL"
        " WHERE sent_at >= clock_timestamp() - make_interval(secs => $1)"
        " AND ($2::text IS NULL OR type = $2)",
        since_seconds,
        type_,
    )
    return int(status.rpartition(" ")[2])


async def exists(connection: Connection) -> bool:
    """Whether this database has an outbox yet; one of a service that was never deployed has none."""
    return bool(await connection.fetchval("SELECT to_regclass('public.outbox') IS NOT NULL"))


async def lag(connection: Connection) -> OutboxLag:
    """What waits to be sent."""
    row = await connection.fetchrow(_LAG)
    if row is None:
        return OutboxLag(0, 0, 0.0, None)
    return OutboxLag(
        row["unsent"], row["failing"], max(row["oldest_seconds"], 0.0), row["last_error"]
    )
