"""What a promo code is worth, and redeeming it once. Owns the SQL on `promo_codes` and `promo_redemptions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from services.payments.news import tell
from shared.contract.payments import PromoKind, PromoRedeemed
from shared.errors import CallerError, Code
from shared.placement import Connection

_LOCKED = """SELECT code, kind, quota_type, bonus_amount, percent_off, trial_days,
  active AND (valid_from IS NULL OR valid_from <= now())
   AND (valid_until IS NULL OR valid_until > now())
   AND (max_redemptions IS NULL OR redeemed_count < max_redemptions) AS usable
 FROM promo_codes WHERE code = $1 FOR UPDATE"""
# Asked after the lock is held: a subquery beside FOR UPDATE would see the time before the wait.
_USED = "SELECT true FROM promo_redemptions WHERE code = $1 AND user_id = $2"
_REDEEM = """INSERT INTO promo_redemptions (code, user_id) VALUES ($1, $2)
 ON CONFLICT DO NOTHING RETURNING true"""


@dataclass(frozen=True, slots=True)
class Promo:
    """A code that may be used."""

    code: str
    kind: PromoKind
    quota_type: str | None
    bonus_amount: int | None
    percent_off: int | None
    trial_days: int | None


async def usable(connection: Connection, code: str, user_id: UUID) -> Promo:
    """The locked code. Raises PROMO_INVALID, PROMO_ALREADY_USED."""
    row = await connection.fetchrow(_LOCKED, code.upper())
    if row is not None and await connection.fetchval(_USED, row["code"], user_id):
        raise CallerError(Code.PROMO_ALREADY_USED, "You have used this code already")
    if row is None or not row["usable"]:
        raise CallerError(Code.PROMO_INVALID, "This code cannot be used")
    return Promo(
        row["code"],
        cast("PromoKind", row["kind"]),
        row["quota_type"],
        row["bonus_amount"],
        row["percent_off"],
        row["trial_days"],
    )


async def mark_redeemed(connection: Connection, code: str, kind: str, user_id: UUID) -> bool:
    """Count a redemption once per user, with promo.redeemed; False if it was counted before."""
    if not await connection.fetchval(_REDEEM, code, user_id):
        return False
    await connection.execute(
        "UPDATE promo_codes SET redeemed_count = redeemed_count + 1 WHERE code = $1", code
    )
    await tell(connection, "promo.redeemed", user_id, {"code": code, "kind": kind})
    return True


async def mark_checked_out(connection: Connection, code: str, user_id: UUID) -> None:
    """A checkout with a code is complete; a code that is gone by now is nobody's fault."""
    row = await connection.fetchrow(
        "SELECT code, kind FROM promo_codes WHERE code = $1 FOR UPDATE", code.upper()
    )
    if row is not None:
        await mark_redeemed(connection, row["code"], row["kind"], user_id)


async def redeem(connection: Connection, code: str, user_id: UUID) -> PromoRedeemed:
    """A bonus is granted now; a discount or trial waits for a checkout."""
    promo = await usable(connection, code, user_id)
    is_bonus = promo.kind == "quota_bonus"
    if is_bonus:
        await mark_redeemed(connection, promo.code, promo.kind, user_id)
        await connection.execute(
            "SELECT quota_grant($1, $2, $3, 'promo', $4)",
            user_id,
            promo.quota_type,
            promo.bonus_amount,
            promo.code,
        )
    return PromoRedeemed(
        code=promo.code,
        kind=promo.kind,
        applied=is_bonus,
        quota_type=promo.quota_type if is_bonus else None,
        amount=promo.bonus_amount if is_bonus else None,
        percent_off=promo.percent_off,
        trial_days=promo.trial_days,
    )
