"""What the analytics domain answers and takes in; knows no HTTP and no SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from uuid import UUID

from services.analytics import counters
from services.analytics.models import (
    Place,
    Report,
    platform_days,
    platform_totals,
    streak_of,
)
from services.analytics.repository import FigureRepository
from services.analytics.rules import (
    MILESTONES,
    WEEK_DAYS,
    XP_PER_CHECK_IN,
    CheckIns,
    percentile_of,
)
from shared.contract.analytics import (
    CheckIn,
    ConversationStats,
    ConversationTotals,
    Percentile,
    Platform,
    Reward,
    Streak,
    UserStats,
)
from shared.errors import CallerError, Code
from shared.events import outbox
from shared.events.envelope import new_event
from shared.placement import Database
from shared.placement.connection import Connection


def _today() -> date:
    return datetime.now(UTC).date()


class AnalyticsService:
    """Reads figures; writes only what users report themselves."""

    def __init__(
        self,
        database: Database,
        figures: FigureRepository,
        today: Callable[[], date] = _today,
    ) -> None:
        self._database = database
        self._figures = figures
        self._today = today

    async def user_stats(self, user_id: UUID) -> UserStats:
        return await self._figures.user_stats(user_id)

    async def streak(self, user_id: UUID) -> Streak:
        return streak_of(await self._figures.check_ins(user_id), self._today())

    async def percentile(self, user_id: UUID) -> Percentile:
        messages, population, fewer = await self._figures.rank(user_id)
        return Percentile(
            percentile=percentile_of(messages, fewer, population),
            message_count=messages,
            population=population,
        )

    async def conversations(
        self, user_id: UUID, conversation_id: UUID | None, after: Place | None, limit: int
    ) -> tuple[Sequence[ConversationStats], ConversationTotals]:
        """Up to `limit` + 1 conversations, newest first, and the totals of all."""
        return await self._figures.conversations(user_id, conversation_id, after, limit + 1)

    async def platform(self, first: date, last: date) -> Platform:
        """Every day of the range with its figures, and their totals."""
        stored = await self._figures.days(first, last)
        days = platform_days(first, last, stored)
        return Platform(
            from_=first, to=last, totals=platform_totals(days, stored.distinct_active), days=days
        )

    async def check_in(self, user_id: UUID) -> CheckIn:
        """Once per UTC day; again on the same day the same answer and no further effect."""
        today = self._today()

        async def work(connection: Connection) -> CheckIns:
            await self._join(connection, user_id)
            before = await counters.locked_check_ins(connection, user_id)
            after = before.checked_in(today)
            if after != before:
                await self._count_check_in(connection, user_id, after)
            return after

        after = await self._database.transaction(work)
        bonus = MILESTONES.get(after.current)
        return CheckIn(
            **streak_of(after, today).model_dump(),
            reward=Reward(amount=bonus) if bonus is not None else None,
        )

    async def ingest(self, user_id: UUID, reports: Sequence[Report]) -> int:
        """Store what a client reports; returns how many."""

        async def work(connection: Connection) -> None:
            await self._join(connection, user_id)
            await counters.note_reports(connection, user_id, reports)

        await self._database.transaction(work)
        return len(reports)

    async def _join(self, connection: Connection, user_id: UUID) -> None:
        """The account may have been deleted since the request was let in."""
        if not await counters.joins(connection, self._database.shared, user_id):
            raise CallerError(Code.ACCOUNT_DELETED, "The account is deleted")

    async def _count_check_in(self, connection: Connection, user_id: UUID, after: CheckIns) -> None:
        await counters.keep_check_ins(connection, user_id, after)
        await counters.add(connection, user_id, xp=XP_PER_CHECK_IN)
        if after.current in MILESTONES:
            data = {
                "day": after.current,
                "bonus": MILESTONES[after.current],
                "check_in_day": after.last_check_in,
            }
            event = new_event("streak.milestone", source="analytics", subject=user_id, data=data)
            await outbox.add(connection, event)
        if after.current >= WEEK_DAYS:
            await counters.unlock(connection, user_id, "week_streak")
