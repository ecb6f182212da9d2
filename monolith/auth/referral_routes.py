"""One's own referral code, and using somebody else's."""

from __future__ import annotations

from fastapi import Response

from monolith.auth.models import ReferralApplyIn, ReferralApplyOut, ReferralOut
from monolith.auth.referrals import BONUS, announce, find_referrer
from monolith.auth.router import router
from monolith.calls import CurrentCall, reply
from monolith.errors import ApiError, invalid_field, not_found

COUNTS = """
SELECT u.referral_code, count(r.id) AS referred,
  count(r.id) FILTER (WHERE r.status = 'confirmed') AS confirmed
FROM users u LEFT JOIN referrals r ON r.referrer_id = u.id WHERE u.id = $1 GROUP BY u.id"""


@router.route(
    "referral",
    "GET",
    "/api/user_management/referral",
    auth="user",
    kind="read",
    bucket="default",
    answer=ReferralOut,
)
async def referral(call: CurrentCall) -> Response:
    row = await call.context.database.row(COUNTS, call.user_id)
    if row is None:
        raise not_found("No such account")
    code = row["referral_code"]
    return reply(
        ReferralOut(
            referral_code=code,
            referral_link=f"https://{call.context.settings.web_domain}/r/{code}",
            referred_count=row["referred"],
            confirmed_count=row["confirmed"],
            bonus_earned=BONUS * row["confirmed"],
        )
    )


@router.route(
    "referral_apply",
    "POST",
    "/api/user_management/referral/apply",
    auth="user",
    kind="write",
    bucket="sensitive",
    answer=ReferralApplyOut,
)
async def referral_apply(call: CurrentCall, body: ReferralApplyIn) -> Response:
    code = body.code.upper()
    async with call.context.database.transaction() as connection:
        referrer = await find_referrer(connection, code)
        if referrer is None:
            raise not_found("No such referral code")
        if referrer == call.user_id:
            raise invalid_field("body.code", "is your own code")
        made = await connection.fetchval(
            "INSERT INTO referrals (referrer_id, referee_id, status, confirmed_at)"
            " VALUES ($1, $2, 'confirmed', now()) ON CONFLICT (referee_id) DO NOTHING"
            " RETURNING true",
            referrer,
            call.user_id,
        )
        if not made:
            raise ApiError("REFERRAL_ALREADY_APPLIED", "A referral was applied before")
        await announce(connection, referrer, call.user_id, code, call.request_id)
    return reply(ReferralApplyOut(bonus=BONUS))
