"""The public routes of the analytics domain (contract, 2.7): parameters in, wire models out."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BeforeValidator

from services.analytics.models import Place, Report
from services.analytics.rules import PLATFORM_DAYS_MAX, REPORT_DAYS_MAX
from services.analytics.service import AnalyticsService
from shared.auth.dependencies import CurrentUser
from shared.contract.analytics import (
    CheckIn,
    ConversationStatsPage,
    Ingest,
    Ingested,
    Percentile,
    Platform,
    Streak,
    UserStats,
)
from shared.contract.values import Id
from shared.errors import invalid_fields
from shared.web.cursors import Cursor, Limit, cursor_parameter, cut_page
from shared.web.endpoints import ServiceRouter

router = ServiceRouter()

#: Clocks of clients may be so far ahead.
CLOCK_LEEWAY = timedelta(seconds=60)
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


async def analytics_service(request: Request) -> AnalyticsService:
    """The service that the app's lifespan has opened; async, for others run in a thread."""
    service: AnalyticsService = request.app.state.analytics
    return service


def _iso_day(value: object) -> object:
    if isinstance(value, str) and _ISO_DAY.fullmatch(value) is None:
        raise ValueError("must be a day like 2025-01-31")
    return value


Analytics = Annotated[AnalyticsService, Depends(analytics_service)]
AfterCursor = Annotated[Cursor | None, Depends(cursor_parameter)]
FirstDay = Annotated[date, BeforeValidator(_iso_day), Query(alias="from")]
LastDay = Annotated[date, BeforeValidator(_iso_day), Query(alias="to")]


@router.endpoint("analytics.user_stats")
async def user_stats(analytics: Analytics, user: CurrentUser) -> UserStats:
    return await analytics.user_stats(user.id)


@router.endpoint("analytics.streak")
async def streak(analytics: Analytics, user: CurrentUser) -> Streak:
    return await analytics.streak(user.id)


@router.endpoint("analytics.check_in")
async def check_in(analytics: Analytics, user: CurrentUser) -> CheckIn:
    return await analytics.check_in(user.id)


@router.endpoint("analytics.percentile")
async def percentile(analytics: Analytics, user: CurrentUser) -> Percentile:
    return await analytics.percentile(user.id)


@router.endpoint("analytics.conversation_stats")
async def conversation_stats(
    analytics: Analytics,
    user: CurrentUser,
    after: AfterCursor,
    conversation_id: Id | None = None,
    limit: Limit = 20,
) -> ConversationStatsPage:
    place = Place(after.moment(), after.uuid()) if after is not None else None
    rows, totals = await analytics.conversations(user.id, conversation_id, place, limit)
    items, next_cursor, has_more = cut_page(
        rows, limit, lambda row: Cursor.of(row.last_message_at, row.conversation_id)
    )
    return ConversationStatsPage(
        items=tuple(items), next_cursor=next_cursor, has_more=has_more, totals=totals
    )


@router.endpoint("analytics.platform")
async def platform(analytics: Analytics, first: FirstDay, last: LastDay) -> Platform:
    if last < first:
        raise invalid_fields(("query.to", "must not lie before from"))
    if (last - first).days >= PLATFORM_DAYS_MAX:
        raise invalid_fields(("query.to", f"must be at most {PLATFORM_DAYS_MAX} days from from"))
    return await analytics.platform(first, last)


@router.endpoint("analytics.ingest")
async def ingest(analytics: Analytics, user: CurrentUser, body: Ingest) -> Ingested:
    now = datetime.now(UTC)
    reports = [
        Report(event.name, event.properties, event.occurred_at or now) for event in body.events
    ]
    late = [
        (f"body.events.{place}.occurred_at", "must lie in the last 7 days")
        for place, report in enumerate(reports)
        if not now - timedelta(days=REPORT_DAYS_MAX) <= report.occurred_at <= now + CLOCK_LEEWAY
    ]
    if late:
        raise invalid_fields(*late)
    return Ingested(accepted=await analytics.ingest(user.id, reports))
