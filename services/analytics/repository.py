"""Reads of the figures on whichever database owns them now. SQL only."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from services.analytics.models import (
    DayFigures,
    Place,
    conversation_of,
    totals_of,
    user_stats_of,
)
from services.analytics.rules import CheckIns
from shared.contract.analytics import ConversationStats, ConversationTotals, UserStats
from shared.placement import Database
from shared.placement.connection import Connection

_STATS = """
SELECT COALESCE(a.message_count, 0) AS message_count,
  COALESCE(a.conversation_count, 0) AS conversation_count,
  COALESCE(a.story_count, 0) AS story_count, COALESCE(a.tokens_used, 0) AS tokens_used,
  COALESCE(a.xp, 0) AS xp,
  (SELECT count(*) FROM user_daily_activity d WHERE d.user_id = $1) AS active_days,
  (SELECT COALESCE(sum(messages), 0) FROM user_daily_activity d WHERE d.user_id = $1
     AND d.day > (now() AT TIME ZONE 'UTC')::date - 30) AS recent_messages,
  (SELECT character_name FROM conversation_stats c WHERE c.user_id = $1 AND deleted_at IS NULL
     GROUP BY character_name ORDER BY sum(message_count) DESC, character_name LIMIT 1) AS favourite
FROM (SELECT 1) one LEFT JOIN user_analytics a ON a.user_id = $1
"""
_UNLOCKED = """
SELECT code, unlocked_at FROM user_achievements WHERE user_id = $1 ORDER BY unlocked_at, code
"""
_STREAK = "SELECT current_days, longest_days, last_check_in FROM user_streaks WHERE user_id = $1"
_PERCENTILE = """
WITH mine AS (SELECT COALESCE((SELECT message_count FROM user_analytics WHERE user_id = $1), 0) AS n)
SELECT mine.n AS messages, count(a.user_id) AS population,
  count(a.user_id) FILTER (WHERE a.message_count < mine.n) AS fewer
FROM mine LEFT JOIN user_analytics a ON a.message_count > 0 GROUP BY mine.n
"""
_CONVERSATIONS = """
SELECT conversation_id, character_name, message_count, token_count, first_message_at,
  last_message_at FROM conversation_stats
WHERE user_id = $1 AND deleted_at IS NULL AND ($2::uuid IS NULL OR conversation_id = $2)
  AND ($3::timestamptz IS NULL OR (last_message_at, conversation_id) < ($3, $4::uuid))
ORDER BY last_message_at DESC, conversation_id DESC LIMIT $5
"""
_TOTALS = """
SELECT count(*) AS conversations, COALESCE(sum(message_count), 0) AS messages,
  COALESCE(sum(token_count), 0) AS tokens FROM conversation_stats
WHERE user_id = $1 AND deleted_at IS NULL AND ($2::uuid IS NULL OR conversation_id = $2)
"""
_METRICS = "SELECT day, metric, value FROM platform_metrics WHERE day BETWEEN $1 AND $2"
_ACTIVE = """
SELECT day, count(*) AS users FROM user_daily_activity WHERE day BETWEEN $1 AND $2 GROUP BY day
"""
_DISTINCT = """
SELECT count(DISTINCT user_id) FROM user_daily_activity WHERE day BETWEEN $1 AND $2
"""


class FigureRepository:
    """What is read for answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def user_stats(self, user_id: UUID) -> UserStats:
        """All figures of a user; zeros without a row."""

        async def read(connection: Connection) -> UserStats:
            row = await connection.fetchrow(_STATS, user_id)
            if row is None:
                raise LookupError("the statement always gives a row")
            return user_stats_of(user_id, row, await connection.fetch(_UNLOCKED, user_id))

        return await self._database.read(read)

    async def check_ins(self, user_id: UUID) -> CheckIns:
        row = await self._database.fetchrow(_STREAK, user_id)
        return CheckIns(*row) if row is not None else CheckIns()

    async def rank(self, user_id: UUID) -> tuple[int, int, int]:
        """(own messages, people with messages, people of them with fewer)."""
        row = await self._database.fetchrow(_PERCENTILE, user_id)
        return (row["messages"], row["population"], row["fewer"]) if row is not None else (0, 0, 0)

    async def conversations(
        self, user_id: UUID, conversation_id: UUID | None, after: Place | None, rows: int
    ) -> tuple[list[ConversationStats], ConversationTotals]:
        """At most `rows` conversations after a place, and the totals of all of them."""
        place = (after.last_message_at, after.conversation_id) if after else (None, None)

        async def read(
            connection: Connection,
        ) -> tuple[list[ConversationStats], ConversationTotals]:
            found = await connection.fetch(_CONVERSATIONS, user_id, conversation_id, *place, rows)
            totals = await connection.fetchrow(_TOTALS, user_id, conversation_id)
            if totals is None:
                raise LookupError("the statement always gives a row")
            return [conversation_of(row) for row in found], totals_of(totals)

        return await self._database.read(read)

    async def days(self, first: date, last: date) -> DayFigures:
        """What is stored about the days of a range, both ends included."""

        async def read(connection: Connection) -> DayFigures:
            metrics = await connection.fetch(_METRICS, first, last)
            active = await connection.fetch(_ACTIVE, first, last)
            return DayFigures(
                {(row["day"], row["metric"]): row["value"] for row in metrics},
                {row["day"]: row["users"] for row in active},
                await connection.fetchval(_DISTINCT, first, last),
            )

        return await self._database.read(read)
