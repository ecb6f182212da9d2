"""Wire models of figures and streaks (public contract, 2.7)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import to_json

from shared.contract.page import Page
from shared.contract.values import (
    Day,
    Id,
    Items,
    RequestModel,
    Text,
    Timestamp,
    WireModel,
    check_json,
)

PROPERTIES_LIMIT_BYTES = 2 * 1024
EngagementTier = Literal["casual", "regular", "devoted"]


def _small(value: dict[str, Any]) -> dict[str, Any]:
    check_json(value)
    if len(to_json(value)) > PROPERTIES_LIMIT_BYTES:
        raise ValueError(f"must have at most {PROPERTIES_LIMIT_BYTES} bytes of JSON")
    return value


class Achievement(WireModel):
    code: str
    unlocked_at: Timestamp


class UserStats(WireModel):
    user_id: Id
    message_count: int
    conversation_count: int
    story_count: int
    tokens_used: int
    active_days: int
    favourite_character: str | None
    engagement_tier: EngagementTier
    xp: int
    level: int
    achievements: tuple[Achievement, ...]


class Milestone(WireModel):
    day: int
    bonus: int


class Streak(WireModel):
    current: int
    longest: int
    last_check_in: Day | None
    checked_in_today: bool
    next_milestone: Milestone | None


class Reward(WireModel):
    quota_type: Literal["chat"] = "chat"
    amount: int


class CheckIn(Streak):
    reward: Reward | None


class Percentile(WireModel):
    percentile: int
    message_count: int
    population: int


class ConversationStats(WireModel):
    conversation_id: Id
    character_name: str
    message_count: int
    token_count: int
    first_message_at: Timestamp
    last_message_at: Timestamp


class ConversationTotals(WireModel):
    conversations: int
    messages: int
    tokens: int


class ConversationStatsPage(Page[ConversationStats]):
    totals: ConversationTotals


class PlatformFigures(WireModel):
    new_users: int
    active_users: int
    messages: int
    tokens: int
    stories_published: int
    subscriptions_started: int
    subscriptions_cancelled: int
    revenue: int  # usd cents


class PlatformDay(PlatformFigures):
    day: Day


class Platform(WireModel):
    """Figures of a range of days; `from` is a word of Python, hence the alias."""

    from_: Day = Field(alias="from", serialization_alias="from")
    to: Day
    totals: PlatformFigures
    days: tuple[PlatformDay, ...]


class EngagementEvent(RequestModel):
    name: Annotated[str, Text(1, 64, pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    properties: Annotated[dict[str, Any], AfterValidator(_small)] = Field(default_factory=dict)
    occurred_at: Timestamp | None = None


class Ingest(RequestModel):
    events: Annotated[tuple[EngagementEvent, ...], Items(min_length=1, max_length=50)]


class Ingested(WireModel):
    accepted: int
