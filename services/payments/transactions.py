"""Every payment, failure and refund once, with its event. Owns the SQL on `payment_transactions`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.payments.news import tell
from shared.placement import Connection

Kind = Literal["payment", "failure", "refund"]
EVENTS: dict[Kind, str] = {
    "payment": "payment.succeeded",
    "failure": "payment.failed",
    "refund": "payment.refunded",
}
# A refund grows with every part that is paid back: the event tells the growth.
_RECORD = """
WITH known AS (SELECT amount FROM payment_transactions
               WHERE provider = $2 AND provider_ref = $3 AND kind = $4 FOR UPDATE)
INSERT INTO payment_transactions (user_id, provider, provider_ref, kind, amount, currency,
  occurred_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (provider, provider_ref, kind) DO UPDATE SET amount = excluded.amount
  WHERE excluded.kind = 'refund' AND payment_transactions.amount < excluded.amount
RETURNING amount - COALESCE((SELECT amount FROM known), 0)"""


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that moved, or did not: `reference` is the provider's, `amount` in minor units."""

    provider: str
    reference: str
    kind: Kind
    amount: int
    currency: str
    occurred_at: datetime


async def record(connection: Connection, user_id: UUID, movement: Movement) -> None:
    """Store it once; repeating changes nothing and publishes nothing."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('transaction:' || $1::text, 0))",
        f"{movement.provider}:{movement.reference}:{movement.kind}",
    )
    grown = await connection.fetchval(
        _RECORD,
        user_id,
        movement.provider,
        movement.reference,
        movement.kind,
        movement.amount,
        movement.currency,
        movement.occurred_at,
    )
    if grown is None:
        return
    data = {
        "provider": movement.provider,
        "provider_ref": movement.reference,
        "amount": int(grown),
        "currency": movement.currency,
    }
    await tell(connection, EVENTS[movement.kind], user_id, data)
