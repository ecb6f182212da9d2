"""Rows of payment_transactions: every payment, failure and refund once, with its event."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from monolith.database import Connection, emit

EVENTS = {
    "payment": "payment.succeeded",
    "failure": "payment.failed",
    "refund": "payment.refunded",
}
# A refund grows with every part that is paid back: the event tells the growth.
RECORD = """
WITH known AS (SELECT amount FROM payment_transactions
               WHERE provider = $2 AND provider_ref = $3 AND kind = $4 FOR UPDATE)
INSERT INTO payment_transactions (user_id, provider, provider_ref, kind, amount, currency,
  occurred_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (provider, provider_ref, kind) DO UPDATE SET amount = excluded.amount
  WHERE excluded.kind = 'refund' AND payment_transactions.amount < excluded.amount
RETURNING amount - COALESCE((SELECT amount FROM known), 0)"""


async def record(
    connection: Connection,
    user_id: UUID,
    provider: str,
    provider_ref: str,
    kind: str,
    amount: int,
    currency: str,
    occurred_at: datetime,
) -> None:
    """Store it once; repeating changes nothing and publishes nothing."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('transaction:' || $1::text, 0))",
        f"{provider}:{provider_ref}:{kind}",
    )
    grown = await connection.fetchval(
        RECORD,
        user_id,
        provider,
        provider_ref,
        kind,
        amount,
        currency,
        occurred_at,
    )
    if grown is None:
        return
    data = {
        "provider": provider,
        "provider_ref": provider_ref,
        "amount": int(grown),
        "currency": currency,
    }
    await emit(connection, EVENTS[kind], user_id, data, "payments")
