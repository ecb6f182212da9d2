"""Levels, engagement, streaks, percentiles: the arithmetic of the contract (2.7); pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta

from shared.contract.analytics import EngagementTier

XP_PER_MESSAGE, XP_PER_CHECK_IN, XP_PER_STORY = 1, 5, 20  # contract, 2.7
#: Days in a row -> chat bonus (contract, 2.7).
MILESTONES = {3: 1, 7: 3, 14: 5, 30: 10, 100: 30}
REGULAR_FROM, DEVOTED_FROM = 10, 100  # messages in the last 30 days
WEEK_DAYS = 7
HUNDRED_MESSAGES = 100
PLATFORM_DAYS_MAX = 92
REPORT_DAYS_MAX = 7


@dataclass(frozen=True, slots=True)
class CheckIns:
    """A user's check-ins: days in a row at the last one, the longest run, the day of the last one."""

    current: int = 0
    longest: int = 0
    last_check_in: date | None = None

    def shown_on(self, today: date) -> int:
        """Days in a row; 0 once a whole day was missed."""
        if self.last_check_in is None or self.last_check_in < today - timedelta(days=1):
            return 0
        return self.current

    def checked_in(self, today: date) -> CheckIns:
        """After a check-in of today; the same when there was one already."""
        if self.last_check_in == today:
            return self
        current = self.shown_on(today) + 1
        return CheckIns(current, max(self.longest, current), today)


def level_of(xp: int) -> int:
    """Levels begin at 1 and need more and more experience."""
    return 1 + math.isqrt(max(xp, 0) // 50)


def engagement_tier(messages: int) -> EngagementTier:
    """By the messages of the last 30 days."""
    if messages < REGULAR_FROM:
        return "casual"
    return "regular" if messages < DEVOTED_FROM else "devoted"


def next_milestone(current: int) -> tuple[int, int] | None:
    """(day, bonus) of the first milestone that lies ahead."""
    return next(((day, bonus) for day, bonus in MILESTONES.items() if day > current), None)


def percentile_of(messages: int, fewer: int, population: int) -> int:
    """Share in percent of the other people with messages who have fewer; 100 for the only one."""
    if messages == 0:
        return 0
    return 100 if population <= 1 else 100 * fewer // (population - 1)
