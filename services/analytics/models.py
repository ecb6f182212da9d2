"""Rows of the analytics tables as wire objects and as facts; no SQL, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from services.analytics.rules import CheckIns, engagement_tier, level_of, next_milestone
from shared.contract.analytics import (
    Achievement,
    ConversationStats,
    ConversationTotals,
    Milestone,
    PlatformDay,
    PlatformFigures,
    Streak,
    UserStats,
)

Row = asyncpg.Record | Mapping[str, Any]

#: Names in `platform_metrics`; `active_users` is counted from days instead.
METRICS = (
    "new_users",
    "messages",
    "tokens",
    "stories_published",
    "subscriptions_started",
    "subscriptions_cancelled",
    "revenue",
)


@dataclass(frozen=True, slots=True)
class Place:
    """The last row of a page of conversations by `last_message_at`, then id, descending."""

    last_message_at: datetime
    conversation_id: UUID


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that a client says has happened."""

    name: str
    properties: Mapping[str, Any]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What is stored about a range of days."""

    metrics: Mapping[tuple[date, str], int]
    active: Mapping[date, int]
    distinct_active: int


def user_stats_of(user_id: UUID, row: Row, unlocked: Iterable[Row]) -> UserStats:
    """Figures of one user; `unlocked` are rows of achievements in order."""
    return UserStats(
        user_id=user_id,
        message_count=row["message_count"],
        conversation_count=row["conversation_count"],
        story_count=row["story_count"],
        tokens_used=row["tokens_used"],
        active_days=row["active_days"],
        favourite_character=row["favourite"],
        engagement_tier=engagement_tier(int(row["recent_messages"])),
        xp=row["xp"],
        level=level_of(row["xp"]),
        achievements=tuple(
            Achievement(code=item["code"], unlocked_at=item["unlocked_at"]) for item in unlocked
        ),
    )


def streak_of(check_ins: CheckIns, today: date) -> Streak:
    """The streak as it is shown on a day."""
    current = check_ins.shown_on(today)
    ahead = next_milestone(current)
    return Streak(
        current=current,
        longest=check_ins.longest,
        last_check_in=check_ins.last_check_in,
        checked_in_today=check_ins.last_check_in == today,
        next_milestone=Milestone(day=ahead[0], bonus=ahead[1]) if ahead else None,
    )


def conversation_of(row: Row) -> ConversationStats:
    return ConversationStats(
        conversation_id=row["conversation_id"],
        character_name=row["character_name"],
        message_count=row["message_count"],
        token_count=row["token_count"],
        first_message_at=row["first_message_at"],
        last_message_at=row["last_message_at"],
    )


def totals_of(row: Row) -> ConversationTotals:
    return ConversationTotals(
        conversations=row["conversations"], messages=row["messages"], tokens=row["tokens"]
    )


def platform_days(first: date, last: date, stored: DayFigures) -> tuple[PlatformDay, ...]:
    """Every day of the range, with zeros where nothing is stored."""
    days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return tuple(
        PlatformDay(
            day=day,
            active_users=stored.active.get(day, 0),
            **{name: stored.metrics.get((day, name), 0) for name in METRICS},
        )
        for day in days
    )


def platform_totals(days: Iterable[PlatformDay], distinct_active: int) -> PlatformFigures:
    """Sums over the days; active users are counted once over the whole range."""
    listed = list(days)
    sums = {name: sum(getattr(day, name) for day in listed) for name in METRICS}
    return PlatformFigures(active_users=distinct_active, **sums)
