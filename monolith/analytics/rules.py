"""Levels, tiers of engagement, streaks, percentiles: the arithmetic of contract, 2.7; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta

XP_PER_MESSAGE, XP_PER_CHECK_IN, XP_PER_STORY = 1, 5, 20
MILESTONES = {3: 1, 7: 3, 14: 5, 30: 10, 100: 30}  # days in a row -> chat bonus
REGULAR_FROM, DEVOTED_FROM = 10, 100  # messages in the last 30 days
WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Streak:
    """A row of user_streaks, or its zeros."""

    current: int
    longest: int
    last_check_in: date | None

    def shown_on(self, today: date) -> int:
        """0 once a whole day was missed."""
        if self.last_check_in is None or self.last_check_in < today - timedelta(days=1):
            return 0
        return self.current

    def checked_in(self, today: date) -> Streak:
        """After a check-in of today; the same streak if there was one already."""
        if self.last_check_in == today:
            return self
        current = self.shown_on(today) + 1
        return Streak(current, max(self.longest, current), today)


def level_of(xp: int) -> int:
    return 1 + math.isqrt(max(xp, 0) // 50)


def engagement_tier(messages: int) -> str:
    """By the messages of the last 30 days."""
    if messages < REGULAR_FROM:
        return "casual"
    return "regular" if messages < DEVOTED_FROM else "devoted"


def next_milestone(current: int) -> tuple[int, int] | None:
    """(day, bonus) of the first milestone that lies ahead."""
    return next(((day, bonus) for day, bonus in MILESTONES.items() if day > current), None)


def percentile_of(messages: int, fewer: int, population: int) -> int:
    if messages == 0:
        return 0
    return 100 if population <= 1 else 100 * fewer // (population - 1)
