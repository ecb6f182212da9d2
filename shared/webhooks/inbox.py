"""The inbox of deliveries that both sides share. Owns the SQL on `webhook_inbox` and its owners."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

import asyncpg

from shared.placement.connection import Connection
from shared.webhooks.providers import Delivery, ProviderName

Status = Literal["received", "processed", "ignored", "deferred", "failed"]
WebhookSide = Literal["monolith", "service"]
OPEN: tuple[Status, ...] = ("received", "deferred", "failed")

#: How long an effect is tried, in seconds (public contract, 1.13); then it is an alarm.
RETRY_SECONDS = 3 * 86_400.0
#: First pause between two tries, in seconds; each pause is twice the one before.
FIRST_RETRY_SECONDS = 5.0
#: Without an owner, the side that received a delivery processes it; after so many seconds any may.
ORPHAN_SECONDS = 60.0
#: Headers that are kept with a delivery. Never those that hold a secret.
KEPT_HEADERS = frozenset(
    {"content-type", "user-agent", "stripe-signature"}
    | {
        f"{prefix}-{part}"
        for prefix in ("webhook", "svix")
        for part in ("id", "timestamp", "signature")
    }
)

_STORE = """
INSERT INTO webhook_inbox
  (provider, event_id, event_type, raw, headers, received_by, provider_created_at)
VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7) ON CONFLICT DO NOTHING RETURNING 1
"""
_COLUMNS = """w.provider, w.event_id, w.event_type, w.raw, w.received_by, w.status, w.attempts,
  w.error, w.user_id, w.provider_created_at, w.received_at, w.processed_at"""
# An owner for the type wins over one for the whole provider; without any, whoever received it.
_OWNER = """(SELECT o.owner FROM strangler.webhook_owners o
  WHERE o.provider = w.provider AND o.event_type IN (w.event_type, '*')
  ORDER BY o.event_type = '*' LIMIT 1)"""
_MINE = f"""(CASE WHEN {_OWNER} IS NOT NULL THEN {_OWNER} = $1
  ELSE w.received_by = $1 OR w.received_at < clock_timestamp() - make_interval(secs => $2) END)"""
_IS_OPEN = "w.status IN ('received', 'deferred', 'failed')"
# Tries at 0, 5, 15, 35, 75, … seconds after the receipt: the sum of the doubling pauses.
_IS_DUE = """clock_timestamp() >= w.received_at
  + make_interval(secs => $5::float8 * (2 ^ least(w.attempts, 30) - 1))
  AND w.received_at > clock_timestamp() - make_interval(secs => $6)"""
_SAY_SIDE = "SELECT set_config('strangler.side', $1, true)"  # for the trigger that guards owners
_CLAIM = f"""SELECT {_COLUMNS} FROM webhook_inbox w
WHERE w.provider = $3 AND w.event_id = $4 AND {_IS_OPEN} AND {_MINE}
FOR UPDATE OF w SKIP LOCKED"""  # noqa: S608 - constants
_CLAIM_DUE = f"""SELECT {_COLUMNS} FROM webhook_inbox w
WHERE w.provider = ANY($3::text[]) AND NOT (w.provider || ' ' || w.event_id = ANY($4::text[]))
  AND {_IS_OPEN} AND {_IS_DUE} AND {_MINE}
ORDER BY w.received_at LIMIT 1 FOR UPDATE OF w SKIP LOCKED"""  # noqa: S608 - constants
_FINISH = """
UPDATE webhook_inbox SET status = $3, attempts = attempts + 1, error = $4,
  user_id = coalesce($5, user_id),
  processed_at = CASE WHEN $3 IN ('processed', 'ignored') THEN clock_timestamp() END
WHERE provider = $1 AND event_id = $2 AND status IN ('received', 'deferred', 'failed')
"""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A stored delivery."""

    provider: ProviderName
    event_id: str
    event_type: str
    raw: bytes
    received_by: str
    status: Status
    attempts: int
    error: str | None
    user_id: UUID | None
    provider_created_at: datetime | None
    received_at: datetime
    processed_at: datetime | None

    def delivery(self) -> Delivery:
        """The delivery as it was verified when it came."""
        payload: dict[str, Any] = json.loads(self.raw)
        return Delivery(
            self.provider,
            self.event_id,
            self.event_type,
            self.provider_created_at,
            self.raw,
            payload,
        )


async def store(
    connection: Connection,
    delivery: Delivery,
    headers: Mapping[str, str],
    received_by: WebhookSide,
) -> bool:
    """Store a delivery; False when its id is known, and then nothing changes."""
    kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
    row = await connection.fetchval(
        _STORE,
        delivery.provider,
        delivery.event_id,
        delivery.event_type,
        delivery.body,
        json.dumps(kept),
        received_by,
        delivery.created,
    )
    return row is not None


async def claim(
    connection: Connection, side: WebhookSide, provider: str, event_id: str
) -> InboxRow | None:
    """Lock one delivery for processing in this transaction.

    None when it is done, held by somebody else, or owned by the other side.
    """
    await connection.execute(_SAY_SIDE, side)
    row = await connection.fetchrow(_CLAIM, side, ORPHAN_SECONDS, provider, event_id)
    return _row(row)


async def claim_due(
    connection: Connection,
    side: WebhookSide,
    providers: Sequence[str],
    skip: Sequence[tuple[str, str]] = (),
) -> InboxRow | None:
    """Lock the oldest delivery that is due and ours; `skip` are those just tried in this round."""
    await connection.execute(_SAY_SIDE, side)
    row = await connection.fetchrow(
        _CLAIM_DUE,
        side,
        ORPHAN_SECONDS,
        list(providers),
        [f"{provider} {event_id}" for provider, event_id in skip],
        FIRST_RETRY_SECONDS,
        RETRY_SECONDS,
    )
    return _row(row)


async def deferred(connection: Connection, provider: str, limit: int) -> list[str]:
    """Ids of a sender's deliveries that wait for something, the oldest news first."""
    rows = await connection.fetch(
        "SELECT event_id FROM webhook_inbox WHERE provider = $1 AND status = 'deferred'"
        " ORDER BY provider_created_at NULLS LAST, received_at LIMIT $2",
        provider,
        limit,
    )
    return [row["event_id"] for row in rows]


async def finish(
    connection: Connection,
    side: WebhookSide,
    row: InboxRow,
    status: Status,
    *,
    error: str | None = None,
    user_id: UUID | None = None,
) -> None:
    """Note what became of a delivery; does nothing to one that is done."""
    await connection.execute(_SAY_SIDE, side)
    await connection.execute(_FINISH, row.provider, row.event_id, status, error, user_id)


async def overdue(connection: Connection) -> int:
    """Deliveries that are open after three days: somebody must look."""
    found: int = await connection.fetchval(
        f"SELECT count(*) FROM webhook_inbox w WHERE {_IS_OPEN}"  # noqa: S608 - constants
        " AND w.received_at <= clock_timestamp() - make_interval(secs => $1)",
        RETRY_SECONDS,
    )
    return found


async def find(connection: Connection, provider: str, event_id: str) -> InboxRow | None:
    """One delivery by its key."""
    return _row(
        await connection.fetchrow(
            f"SELECT {_COLUMNS} FROM webhook_inbox w"  # noqa: S608 - constants
            " WHERE w.provider = $1 AND w.event_id = $2",
            provider,
            event_id,
        )
    )


async def listing(
    connection: Connection,
    *,
    provider: str | None = None,
    status: str | None = None,
    limit: int = 50,
) -> list[InboxRow]:
    """The newest deliveries first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM webhook_inbox w"  # noqa: S608 - constants
        " WHERE ($1::text IS NULL OR w.provider = $1) AND ($2::text IS NULL OR w.status = $2)"
        " ORDER BY w.received_at DESC LIMIT $3",
        provider,
        status,
        limit,
    )
    return [found for row in rows if (found := _row(row)) is not None]


async def retry(connection: Connection, provider: str, event_id: str) -> bool:
    """Make an open delivery due at once, also after its three days; False when it is not open.

    Needs a transaction.
    """
    await connection.execute(_SAY_SIDE, "operator")
    status = await connection.execute(
        "UPDATE webhook_inbox SET status = 'received', attempts = 0, error = NULL,"
        " received_at = greatest(received_at, clock_timestamp() - interval '1 day')"
        " WHERE provider = $1 AND event_id = $2 AND status IN ('received', 'deferred', 'failed')",
        provider,
        event_id,
    )
    return bool(status.endswith(" 1"))


def _row(row: asyncpg.Record | None) -> InboxRow | None:
    return None if row is None else InboxRow(**cast("dict[str, Any]", dict(row)))
