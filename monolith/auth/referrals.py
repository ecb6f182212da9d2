"""Referrals: who brought whom, confirmed once per account."""

from __future__ import annotations

from uuid import UUID

from monolith.database import Connection, emit

BONUS = 5  # chat units for both sides; contract, 4, referral.confirmed


async def find_referrer(connection: Connection, code: str) -> UUID | None:
    found = await connection.fetchval(
        "SELECT id FROM users WHERE referral_code = $1 AND deleted_at IS NULL", code.upper()
    )
    return None if found is None else UUID(str(found))


async def confirm_pending(
    connection: Connection, referee_id: UUID, request_id: str | None
) -> str | None:
    """Confirm the referral that came with the sign-up; returns the referrer's code."""
    row = await connection.fetchrow(
        "UPDATE referrals r SET status = 'confirmed', confirmed_at = now() FROM users u"
        " WHERE r.referee_id = $1 AND r.status = 'pending' AND u.id = r.referrer_id"
        " RETURNING r.referrer_id, u.referral_code",
        referee_id,
    )
    if row is None:
        return None
    await announce(connection, row["referrer_id"], referee_id, row["referral_code"], request_id)
    return str(row["referral_code"])


async def announce(
    connection: Connection, referrer_id: UUID, referee_id: UUID, code: str, request_id: str | None
) -> None:
    data = {"referrer_id": str(referrer_id), "referee_id": str(referee_id), "code": code}
    await emit(connection, "referral.confirmed", referee_id, data, "auth", request_id)
