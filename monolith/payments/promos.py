"""Promo codes: what one is worth, and redeeming it once."""

from __future__ import annotations

from uuid import UUID

from fastapi import Response

from monolith.calls import CurrentCall, reply
from monolith.database import Connection, Row, emit
from monolith.errors import ApiError
from monolith.payments.models import RedeemIn, RedeemOut
from monolith.payments.router import router

USABLE = """SELECT code, kind, quota_type, bonus_amount, percent_off, trial_days, redeemed_count,
    active AND (valid_from IS NULL OR valid_from <= now())
      AND (valid_until IS NULL OR valid_until > now())
      AND (max_redemptions IS NULL OR redeemed_count < max_redemptions) AS usable
  FROM promo_codes p WHERE code = $1 FOR UPDATE"""
# Asked after the lock is held: a subquery beside FOR UPDATE would see the time before the wait.
USED = "SELECT true FROM promo_redemptions WHERE code = $1 AND user_id = $2"


async def usable_promo(connection: Connection, code: str, user_id: UUID) -> Row:
    """The locked code, or PROMO_INVALID / PROMO_ALREADY_USED."""
    row = await connection.fetchrow(USABLE, code.upper())
    if row is not None and await connection.fetchval(USED, row["code"], user_id):
        raise ApiError("PROMO_ALREADY_USED", "You have used this code already")
    if row is None or not row["usable"]:
        raise ApiError("PROMO_INVALID", "This code cannot be used")
    return row


async def mark_redeemed(
    connection: Connection, code: str, kind: str, user_id: UUID, request_id: str | None
) -> bool:
    """Count a redemption once per user, with promo.redeemed; False if it was counted before."""
    made = await connection.fetchval(
        "INSERT INTO promo_redemptions (code, user_id) VALUES ($1, $2)"
        " ON CONFLICT DO NOTHING RETURNING true",
        code,
        user_id,
    )
    if not made:
        return False
    await connection.execute(
        "UPDATE promo_codes SET redeemed_count = redeemed_count + 1 WHERE code = $1", code
    )
    data = {"code": code, "kind": kind}
    await emit(connection, "promo.redeemed", user_id, data, "payments", request_id)
    return True


@router.route(
    "promo_redeem",
    "POST",
    "/api/payments/promo-codes/redeem",
    auth="user",
    kind="write",
    bucket="sensitive",
    answer=RedeemOut,
    keyed=True,
)
async def promo_redeem(call: CurrentCall, body: RedeemIn) -> Response:
    async with call.context.database.transaction() as connection:
        promo = await usable_promo(connection, body.code, call.user_id)
        applied = promo["kind"] == "quota_bonus"
        if applied:
            await mark_redeemed(
                connection, promo["code"], promo["kind"], call.user_id, call.request_id
            )
            await connection.execute(
                "SELECT quota_grant($1, $2, $3, 'promo', $4)",
                call.user_id,
                promo["quota_type"],
                promo["bonus_amount"],
                promo["code"],
            )
    return reply(
        RedeemOut(
            code=promo["code"],
            kind=promo["kind"],
            applied=applied,
            quota_type=promo["quota_type"] if applied else None,
            amount=promo["bonus_amount"] if applied else None,
            percent_off=promo["percent_off"],
            trial_days=promo["trial_days"],
        )
    )
