"""Rows of the outbox: taking what is due, noting what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from monolith.context import Context
from monolith.database import Connection, Row

BATCH_ROWS = 200
ERROR_CHARACTERS = 300
DUE = """
SELECT id, event_id, type, body, headers FROM outbox
WHERE sent_at IS NULL AND (deliver_after IS NULL OR deliver_after <= now())
ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"""


async def take_due(connection: Connection) -> list[Row]:
    """Unsent rows by id, locked; never `id greater than the last`, which would skip late commits."""
    rows: list[Row] = await connection.fetch(DUE, BATCH_ROWS)
    return rows


async def mark_sent(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute(
        "UPDATE outbox SET sent_at = now(), attempts = attempts + 1 WHERE id = ANY ($1)", list(ids)
    )


async def mark_failed(connection: Connection, row_id: int, error: str) -> None:
    """Try again after 1 s, 2 s, 4 s … 5 min."""
    await connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, last_error = $2, deliver_after = now() +"
        " make_interval(secs => least(2 ^ least(attempts, 10), 300)) WHERE id = $1",
        row_id,
        error[:ERROR_CHARACTERS],
    )


async def clean_up(context: Context) -> None:
    """Sent rows are kept for a day, handled ids for a month."""
    await context.database.execute(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox"
        " WHERE sent_at < now() - interval '1 day' LIMIT 5000)"
    )
    await context.database.execute(
        "DELETE FROM inbox WHERE ctid IN (SELECT ctid FROM inbox"
        " WHERE handled_at < now() - interval '30 days' LIMIT 5000)"
    )
