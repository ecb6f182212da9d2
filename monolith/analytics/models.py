"""JSON of the analytics routes (contract, 2.7)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, PlainSerializer

from monolith.pages import PageQuery
from monolith.values import (
    Identifier,
    JsonObject,
    Timestamp,
    TimestampIn,
    Trimmed,
    Wire,
    json_bytes,
)

PROPERTIES_BYTES_MAX = 2 * 1024
REPORT_DAYS_MAX = 7
CLOCK_SECONDS = 60  # clients' clocks may be this far ahead
Day = Annotated[date, PlainSerializer(date.isoformat, return_type=str)]


class Achievement(Wire):
    code: str
    unlocked_at: Timestamp


class UserStats(Wire):
    user_id: UUID
    message_count: int
    conversation_count: int
    story_count: int
    tokens_used: int
    active_days: int
    favourite_character: str | None
    engagement_tier: Literal["casual", "regular", "devoted"]
    xp: int
    level: int
    achievements: list[Achievement]


class Milestone(Wire):
    day: int
    bonus: int


class StreakOut(Wire):
    current: int
    longest: int
    last_check_in: Day | None
    checked_in_today: bool
    next_milestone: Milestone | None


class Reward(Wire):
    quota_type: Literal["chat"] = "chat"
    amount: int


class CheckInOut(StreakOut):
    reward: Reward | None


class PercentileOut(Wire):
    percentile: int
    message_count: int
    population: int


class ConversationStat(Wire):
    conversation_id: UUID
    character_name: str
    message_count: int
    token_count: int
    first_message_at: Timestamp
    last_message_at: Timestamp


class ConversationTotals(Wire):
    conversations: int
    messages: int
    tokens: int


class ConversationStatsPage(Wire):
    items: list[ConversationStat]
    next_cursor: str | None
    has_more: bool
    totals: ConversationTotals


class PlatformFigures(Wire):
    new_users: int
    active_users: int
    messages: int
    tokens: int
    stories_published: int
    subscriptions_started: int
    subscriptions_cancelled: int
    revenue: int


class PlatformDay(PlatformFigures):
    day: Day


class PlatformOut(Wire):
    from_: Annotated[Day, Field(serialization_alias="from")]
    to: Day
    totals: PlatformFigures
    days: list[PlatformDay]


class StatsQuery(PageQuery):
    conversation_id: Identifier | None = None


def _small(value: dict[str, object]) -> dict[str, object]:
    if json_bytes(value) > PROPERTIES_BYTES_MAX:
        raise ValueError(f"must be at most {PROPERTIES_BYTES_MAX} bytes of JSON")
    return value


def _recent(value: datetime) -> datetime:
    now = datetime.now(UTC)
    if not now - timedelta(days=REPORT_DAYS_MAX) <= value <= now + timedelta(seconds=CLOCK_SECONDS):
        raise ValueError("must lie in the last 7 days")
    return value


class ReportedEvent(Wire):
    name: Annotated[Trimmed, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    properties: Annotated[JsonObject, AfterValidator(_small)] | None = None
    occurred_at: Annotated[TimestampIn, AfterValidator(_recent)] | None = None


class IngestIn(Wire):
    events: Annotated[list[ReportedEvent], Field(min_length=1, max_length=50)]


class IngestOut(Wire):
    accepted: int
