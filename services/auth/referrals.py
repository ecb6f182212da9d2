"""Who brought whom, confirmed once per account. Owns the SQL on `referrals`."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.news import tell
from shared.placement import Connection

BONUS = 5  # chat units for both sides (contract, 4: referral.confirmed)

_COUNTS = """
SELECT u.referral_code, count(r.id) AS referred,
  count(r.id) FILTER (WHERE r.status = 'confirmed') AS confirmed
FROM users u LEFT JOIN referrals r ON r.referrer_id = u.id WHERE u.id = $1 GROUP BY u.id"""
_PENDING = """INSERT INTO referrals (referrer_id, referee_id) VALUES ($1, $2)
 ON CONFLICT (referee_id) DO UPDATE SET referrer_id = excluded.referrer_id
 WHERE referrals.status = 'pending'"""
_APPLY = """INSERT INTO referrals (referrer_id, referee_id, status, confirmed_at)
 VALUES ($1, $2, 'confirmed', now()) ON CONFLICT (referee_id) DO NOTHING RETURNING true"""
_CONFIRM = """UPDATE referrals r SET status = 'confirmed', confirmed_at = now() FROM users u
 WHERE r.referee_id = $1 AND r.status = 'pending' AND u.id = r.referrer_id
 RETURNING r.referrer_id, u.referral_code"""


@dataclass(frozen=True, slots=True)
class ReferralCounts:
    """One's own code and whom it brought."""

    code: str
    referred: int
    confirmed: int


async def find_referrer(connection: Connection, code: str) -> UUID | None:
    found: UUID | None = await connection.fetchval(
        "SELECT id FROM users WHERE referral_code = $1 AND deleted_at IS NULL", code.upper()
    )
    return found


async def counts(connection: Connection, user_id: UUID) -> ReferralCounts | None:
    row = await connection.fetchrow(_COUNTS, user_id)
    if row is None:
        return None
    return ReferralCounts(row["referral_code"], row["referred"], row["confirmed"])


async def note_pending(connection: Connection, referrer_id: UUID, referee_id: UUID) -> None:
    """A sign-up named a code; it counts once the address is confirmed."""
    await connection.execute(_PENDING, referrer_id, referee_id)


async def referrer_of(connection: Connection, referee_id: UUID) -> UUID | None:
    found: UUID | None = await connection.fetchval(
        "SELECT referrer_id FROM referrals WHERE referee_id = $1", referee_id
    )
    return found


async def apply(connection: Connection, referrer_id: UUID, referee_id: UUID, code: str) -> bool:
    """A code used by an account that is there; False if one was used before."""
    if not await connection.fetchval(_APPLY, referrer_id, referee_id):
        return False
    await _announce(connection, referrer_id, referee_id, code)
    return True


async def confirm_pending(connection: Connection, referee_id: UUID) -> None:
    """The referral that came with the sign-up counts from now on."""
    row = await connection.fetchrow(_CONFIRM, referee_id)
    if row is not None:
        await _announce(connection, row["referrer_id"], referee_id, row["referral_code"])


async def _announce(connection: Connection, referrer_id: UUID, referee_id: UUID, code: str) -> None:
    data = {"referrer_id": referrer_id, "referee_id": referee_id, "code": code}
    await tell(connection, "referral.confirmed", referee_id, data)
