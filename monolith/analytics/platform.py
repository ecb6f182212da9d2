"""Figures of the whole product per day, for services."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BeforeValidator

from monolith.analytics.models import PlatformDay, PlatformFigures, PlatformOut
from monolith.analytics.router import router
from monolith.calls import CurrentCall
from monolith.errors import invalid_field

DAYS_MAX = 92
METRICS = (
    "new_users",
    "messages",
    "tokens",
    "stories_published",
    "subscriptions_started",
    "subscriptions_cancelled",
    "revenue",
)
ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _day(value: object) -> object:
    if isinstance(value, str) and ISO_DAY.fullmatch(value) is None:
        raise ValueError("must be a day such as 2025-01-31")
    return value


DayIn = Annotated[date, BeforeValidator(_day)]


@router.route(
    "platform",
    "GET",
    "/api/analytics/platform",
    auth="service_role",
    kind="read",
    bucket="none",
    answer=PlatformOut,
)
async def platform(
    call: CurrentCall,
    first: Annotated[DayIn, Query(alias="from")],
    last: Annotated[DayIn, Query(alias="to")],
) -> Response:
    if last < first:
        raise invalid_field("query.to", "must not lie before from")
    if (last - first).days >= DAYS_MAX:
        raise invalid_field("query.to", f"must be at most {DAYS_MAX} days from the first")
    async with call.context.database.connection() as connection:
        metrics = await connection.fetch(
            "SELECT day, metric, value FROM platform_metrics WHERE day BETWEEN $1 AND $2",
            first,
            last,
        )
        active = await connection.fetch(
            "SELECT day, count(*) AS users FROM user_daily_activity"
            " WHERE day BETWEEN $1 AND $2 GROUP BY day",
            first,
            last,
        )
        distinct = await connection.fetchval(
            "SELECT count(DISTINCT user_id) FROM user_daily_activity WHERE day BETWEEN $1 AND $2",
            first,
            last,
        )
    values = {(row["day"], row["metric"]): row["value"] for row in metrics}
    users = {row["day"]: row["users"] for row in active}
    days = [
        _figures(first + timedelta(days=offset), values, users)
        for offset in range((last - first).days + 1)
    ]
    totals = {name: sum(getattr(day, name) for day in days) for name in METRICS}
    body = PlatformOut(
        from_=first,
        to=last,
        totals=PlatformFigures(**totals, active_users=distinct),
        days=days,
    )
    return Response(body.model_dump_json(by_alias=True), media_type="application/json")


def _figures(day: date, values: dict[tuple[date, str], int], users: dict[date, int]) -> PlatformDay:
    figures: dict[str, Any] = {name: values.get((day, name), 0) for name in METRICS}
    return PlatformDay(day=day, active_users=users.get(day, 0), **figures)
