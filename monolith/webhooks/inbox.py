"""Rows of webhook_inbox: stored once, claimed under a lock, tried again with growing pauses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from monolith.database import Connection, Database
from monolith.errors import malformed

Outcome = Literal["processed", "ignored", "deferred"]
RECEIVED_BY = "monolith"
ERROR_CHARACTERS = 300
# A row of n failed attempts is due 5 * (2^n - 1) seconds after it came: 0, 5, 15, 35, 75, …
DUE = """SELECT provider, event_id FROM webhook_inbox
  WHERE status IN ('received', 'deferred', 'failed')
  AND now() >= received_at + make_interval(secs => 5 * (2 ^ least(attempts, 20) - 1))
  AND received_at > now() - interval '3 days'"""


class DeferredError(Exception):
    """The user or customer that a delivery is about is not known yet; try again later."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A stored delivery with its parsed body."""

    provider: str
    event_id: str
    event_type: str
    body: Mapping[str, Any]
    told_at: datetime  # when the provider says that it happened, else when it came


def parse(body: bytes) -> dict[str, Any]:
    """A JSON object, or MALFORMED_REQUEST."""
    try:
        parsed = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise malformed("The body is not JSON") from error
    if not isinstance(parsed, dict):
        raise malformed("The body is not a JSON object")
    return parsed


async def store(
    database: Database,
    provider: str,
    event_id: str,
    event_type: str,
    raw: bytes,
    created_at: datetime | None,
) -> bool:
    """Keep a delivery; False if its id was known. Committed when this returns."""
    made = await database.value(
        "INSERT INTO webhook_inbox (provider, event_id, event_type, raw, received_by,"
        " provider_created_at) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT DO NOTHING RETURNING true",
        provider,
        event_id,
        event_type,
        raw,
        RECEIVED_BY,
        created_at,
    )
    return bool(made)


async def due_keys(
    database: Database, providers: Sequence[str], limit: int
) -> list[tuple[str, str]]:
    """Deliveries that should be tried now, oldest first."""
    rows = await database.fetch(
        DUE + " AND provider = ANY ($1) ORDER BY received_at LIMIT $2",
        list(providers),
        limit,
    )
    return [(row["provider"], row["event_id"]) for row in rows]


async def waiting_keys(database: Database, provider: str, limit: int) -> list[tuple[str, str]]:
    """Deferred deliveries of a provider: one that was just applied may have been what they lack."""
    rows = await database.fetch(
        "SELECT provider, event_id FROM webhook_inbox WHERE status = 'deferred'"
        " AND provider = $1 ORDER BY provider_created_at NULLS LAST, received_at LIMIT $2",
        provider,
        limit,
    )
    return [(row["provider"], row["event_id"]) for row in rows]


async def claim(connection: Connection, provider: str, event_id: str) -> Delivery | None:
    """Lock an open delivery for this transaction; None if it is done or in other hands."""
    row = await connection.fetchrow(
        "SELECT event_type, raw, provider_created_at, received_at FROM webhook_inbox"
        " WHERE provider = $1 AND event_id = $2 AND status IN ('received', 'deferred', 'failed')"
        " FOR UPDATE SKIP LOCKED",
        provider,
        event_id,
    )
    if row is None:
        return None
    told_at = row["provider_created_at"] or row["received_at"]
    return Delivery(provider, event_id, row["event_type"], json.loads(row["raw"]), told_at)


async def finish(connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
    """Note the end, in the transaction of the effect."""
    await connection.execute(
        "UPDATE webhook_inbox SET status = $3, processed_at = now(), error = NULL,"
        " attempts = attempts + 1 WHERE provider = $1 AND event_id = $2",
        delivery.provider,
        delivery.event_id,
        outcome,
    )


async def note_failure(
    database: Database, provider: str, event_id: str, status: str, error: BaseException
) -> None:
    """Note why an attempt had no effect, after its transaction was rolled back."""
    text = f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]
    await database.execute(
        "UPDATE webhook_inbox SET status = $3, error = $4, attempts = attempts + 1"
        " WHERE provider = $1 AND event_id = $2 AND status IN ('received', 'deferred', 'failed')",
        provider,
        event_id,
        status,
        text,
    )


async def note_user(connection: Connection, delivery: Delivery, user_id: UUID) -> None:
    await connection.execute(
        "UPDATE webhook_inbox SET user_id = $3 WHERE provider = $1 AND event_id = $2",
        delivery.provider,
        delivery.event_id,
        user_id,
    )


def unix_time(value: object) -> datetime | None:
    """Seconds since 1970 as a moment; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        return None
