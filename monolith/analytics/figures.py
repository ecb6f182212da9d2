"""A user's own figures: stats, percentile, conversations."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from monolith.analytics.models import (
    Achievement,
    ConversationStat,
    ConversationStatsPage,
    ConversationTotals,
    PercentileOut,
    StatsQuery,
    UserStats,
)
from monolith.analytics.router import router
from monolith.analytics.rules import engagement_tier, level_of, percentile_of
from monolith.calls import CurrentCall, reply
from monolith.pages import Cursor, cut, decode_cursor, time_sort

STATS = """
SELECT COALESCE(a.message_count, 0) AS message_count,
  COALESCE(a.conversation_count, 0) AS conversation_count,
  COALESCE(a.story_count, 0) AS story_count, COALESCE(a.tokens_used, 0) AS tokens_used,
  COALESCE(a.xp, 0) AS xp,
  (SELECT count(*) FROM user_daily_activity d WHERE d.user_id = $1) AS active_days,
  (SELECT COALESCE(sum(messages), 0) FROM user_daily_activity d WHERE d.user_id = $1
     AND d.day > (now() AT TIME ZONE 'UTC')::date - 30) AS recent_messages,
  (SELECT character_name FROM conversation_stats c WHERE c.user_id = $1 AND deleted_at IS NULL
     GROUP BY character_name ORDER BY sum(message_count) DESC, character_name LIMIT 1) AS favourite
FROM (SELECT 1) one LEFT JOIN user_analytics a ON a.user_id = $1"""
PERCENTILE = """
WITH mine AS (SELECT COALESCE((SELECT message_count FROM user_analytics WHERE user_id = $1), 0) AS n)
SELECT mine.n AS messages, count(a.user_id) AS population,
  count(a.user_id) FILTER (WHERE a.message_count < mine.n) AS fewer
FROM mine LEFT JOIN user_analytics a ON a.message_count > 0 GROUP BY mine.n"""
CONVERSATIONS = """
SELECT conversation_id, character_name, message_count, token_count, first_message_at,
  last_message_at FROM conversation_stats
WHERE user_id = $1 AND deleted_at IS NULL AND ($2::uuid IS NULL OR conversation_id = $2)
  AND ($3::timestamptz IS NULL OR (last_message_at, conversation_id) < ($3, $4))
ORDER BY last_message_at DESC, conversation_id DESC LIMIT $5"""
TOTALS = """
SELECT count(*) AS conversations, COALESCE(sum(message_count), 0) AS messages,
  COALESCE(sum(token_count), 0) AS tokens FROM conversation_stats
WHERE user_id = $1 AND deleted_at IS NULL AND ($2::uuid IS NULL OR conversation_id = $2)"""


@router.route(
    "user_stats",
    "GET",
    "/api/analytics/users/me",
    auth="user",
    kind="read",
    bucket="default",
    answer=UserStats,
)
async def user_stats(call: CurrentCall) -> Response:
    async with call.context.database.connection() as connection:
        row = await connection.fetchrow(STATS, call.user_id)
        unlocked = await connection.fetch(
            "SELECT code, unlocked_at FROM user_achievements WHERE user_id = $1"
            " ORDER BY unlocked_at, code",
            call.user_id,
        )
    if row is None:
        raise LookupError("the statistics query always gives a row")
    return reply(
        UserStats.model_validate(
            {
                "user_id": call.user_id,
                "message_count": row["message_count"],
                "conversation_count": row["conversation_count"],
                "story_count": row["story_count"],
                "tokens_used": row["tokens_used"],
                "active_days": row["active_days"],
                "favourite_character": row["favourite"],
                "engagement_tier": engagement_tier(int(row["recent_messages"])),
                "xp": row["xp"],
                "level": level_of(row["xp"]),
                "achievements": [Achievement(**dict(item)) for item in unlocked],
            }
        )
    )


@router.route(
    "percentile",
    "GET",
    "/api/analytics/users/me/percentile",
    auth="user",
    kind="read",
    bucket="default",
    answer=PercentileOut,
)
async def percentile(call: CurrentCall) -> Response:
    row = await call.context.database.row(PERCENTILE, call.user_id)
    messages, population, fewer = (0, 0, 0) if row is None else (row[0], row[1], row[2])
    return reply(
        PercentileOut(
            percentile=percentile_of(messages, fewer, population),
            message_count=messages,
            population=population,
        )
    )


@router.route(
    "conversation_stats",
    "GET",
    "/api/conversation-stats",
    auth="user",
    kind="read",
    bucket="default",
    answer=ConversationStatsPage,
)
async def conversation_stats(call: CurrentCall, query: Annotated[StatsQuery, Query()]) -> Response:
    cursor = decode_cursor(query.cursor)
    async with call.context.database.connection() as connection:
        rows = await connection.fetch(
            CONVERSATIONS,
            call.user_id,
            query.conversation_id,
            cursor.timestamp() if cursor else None,
            cursor.uuid() if cursor else None,
            query.limit + 1,
        )
        totals = await connection.fetchrow(TOTALS, call.user_id, query.conversation_id)
    page, rest = cut(
        rows,
        query.limit,
        lambda r: Cursor(time_sort(r["last_message_at"]), str(r["conversation_id"])),
    )
    return reply(
        ConversationStatsPage(
            items=[ConversationStat(**dict(row)) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
            totals=ConversationTotals(**dict(totals or {})),
        )
    )
