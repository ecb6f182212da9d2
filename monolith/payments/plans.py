"""What can be bought, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response

from monolith.calls import CurrentCall, reply
from monolith.database import Row
from monolith.errors import ApiError
from monolith.payments.models import (
    QUOTA_TYPES,
    Plan,
    Plans,
    Quota,
    QuotaLimits,
    QuotaMap,
    Quotas,
)
from monolith.payments.router import router
from monolith.quotas import UNLIMITED, remaining_of

NAMES = ("free", "pro", "max")
CONTEXT_TOKENS = (12_000, 64_000, 64_000)  # by tier; contract, 5.1
CACHED = {"Cache-Control": "public, max-age=300"}


@router.route(
    "plans",
    "GET",
    "/api/payments/plans",
    auth="public",
    kind="read",
    bucket="public",
    answer=Plans,
)
async def plans(call: CurrentCall) -> Response:
    database = call.context.database
    limits = {
        (row["tier"], row["quota_type"]): row["limit_amount"]
        for row in await database.fetch("SELECT tier, quota_type, limit_amount FROM plan_quotas")
    }
    prices = await database.fetch(
        "SELECT price_id, tier, amount, currency, billing_interval FROM plan_prices"
        " WHERE active AND provider = 'stripe' ORDER BY tier, amount, price_id"
    )
    free = Plan(
        tier=0,
        name="free",
        price_id=None,
        amount=0,
        currency="usd",
        interval=None,
        context_tokens=CONTEXT_TOKENS[0],
        quotas=_limits(limits, 0),
    )
    return reply(Plans(plans=[free, *(_plan(row, limits) for row in prices)]), headers=CACHED)


def _limits(limits: Mapping[tuple[int, str], int | None], tier: int) -> QuotaLimits:
    found = {name: limits.get((tier, name), 0) for name in QUOTA_TYPES}
    return QuotaLimits(**{n: UNLIMITED if v is None else v for n, v in found.items()})


def _plan(row: Row, limits: Mapping[tuple[int, str], int | None]) -> Plan:
    return Plan.model_validate(
        {
            "tier": row["tier"],
            "name": NAMES[row["tier"]],
            "price_id": row["price_id"],
            "amount": row["amount"],
            "currency": row["currency"],
            "interval": row["billing_interval"],
            "context_tokens": CONTEXT_TOKENS[row["tier"]],
            "quotas": _limits(limits, row["tier"]),
        }
    )


@router.route(
    "quotas",
    "GET",
    "/api/payments/quotas",
    auth="user",
    kind="read",
    bucket="default",
    answer=Quotas,
)
async def quotas(call: CurrentCall) -> Response:
    rows = await call.context.database.fetch(
        "SELECT * FROM quota_status WHERE user_id = $1", call.user_id
    )
    by_type = {row["quota_type"]: row for row in rows}
    if any(name not in by_type for name in QUOTA_TYPES):
        raise ApiError("INTERNAL_ERROR", "The plans are not complete")
    shown = {name: _quota(by_type[name]) for name in QUOTA_TYPES}
    return reply(
        Quotas(
            tier=by_type["chat"]["tier"],
            quota=shown["chat"].remaining,
            quota_premium_model=shown["premium_model"].remaining,
            quota_image_generation=shown["image_generation"].remaining,
            quota_image_recognition=shown["image_recognition"].remaining,
            quota_video=shown["video"].remaining,
            quota_story=shown["story"].remaining,
            tokens_used=by_type["chat"]["tokens_used"],
            premium_tokens_used=by_type["premium_model"]["tokens_used"],
            last_reset=by_type["chat"]["period_start"],
            quotas=QuotaMap(**shown),
        )
    )


def _quota(row: Row) -> Quota:
    limit = row["limit_amount"]
    return Quota.model_validate(
        {
            "limit": UNLIMITED if limit is None else limit,
            "used": row["used"],
            "held": row["held"],
            "bonus": row["bonus"],
            "remaining": remaining_of(limit, row["used"], row["held"], row["bonus"]),
            "unlimited": limit is None,
            "period": row["period"],
            "resets_at": row["resets_at"],
        }
    )
