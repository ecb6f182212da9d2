"""What analytics and quotas hold about what the people of a circle did; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from migrate.seed.people.chats import Talked
from migrate.seed.people.circle import Circle, Person
from migrate.seed.people.community import Crowd
from migrate.seed.people.rows import Rows

Metrics = Counter[tuple[date, str]]

XP_PER_MESSAGE, XP_PER_CHECK_IN, XP_PER_STORY = 1, 5, 20  # contract, 2.7
WEEK, HUNDRED = 7, 100
DAY = timedelta(days=1)
PAYING_STATUSES = ("active", "trialing", "past_due")


def add_figures(
    circle: Circle, rows: Rows, talked: Mapping[UUID, Talked], crowd: Crowd, metrics: Metrics
) -> None:
    """Counters of everybody, and their part of the platform's figures."""
    bonus = Counter[UUID]()
    for row in rows["quota_grants"]:
        user_id, amount = row[2], row[4]
        assert isinstance(user_id, UUID)  # noqa: S101 - the columns of quota_grants
        assert isinstance(amount, int)  # noqa: S101
        bonus[user_id] += amount
    plans = {row[1]: row[5] for row in rows["subscriptions"] if row[6] in PAYING_STATUSES}
    for person in circle.people:
        said = talked[person.id]
        _analytics(person, rows, said, crowd)
        _quotas(circle, rows, person, said, is_paying=person.id in plans, bonus=bonus[person.id])
        metrics[person.created_at.date(), "new_users"] += 1
        for day, count in said.messages_by_day.items():
            metrics[day, "messages"] += count
        for day, count in said.tokens_by_day.items():
            metrics[day, "tokens"] += count
    for moment in crowd.published_at:
        metrics[moment.date(), "stories_published"] += 1
    for row in rows["subscriptions"]:
        started = row[12]
        assert isinstance(started, datetime)  # noqa: S101 - the columns of subscriptions
        metrics[started.date(), "subscriptions_started"] += 1
    for row in rows["payment_transactions"]:
        amount, paid_at = row[5], row[7]
        assert isinstance(amount, int)  # noqa: S101 - the columns of payment_transactions
        assert isinstance(paid_at, datetime)  # noqa: S101
        metrics[paid_at.date(), "revenue"] += amount


def runs_of_days(days: Sequence[date]) -> list[int]:
    """Lengths of the runs of consecutive days, in order; `days` is ascending without repetitions."""
    runs: list[int] = []
    for before, day in zip([None, *days], days, strict=False):
        if before is not None and day - before == DAY:
            runs[-1] += 1
        else:
            runs.append(1)
    return runs


def _analytics(person: Person, rows: Rows, said: Talked, crowd: Crowd) -> None:
    days = sorted(said.messages_by_day)
    messages, stories = said.messages_by_day.total(), crowd.stories[person.id]
    xp = messages * XP_PER_MESSAGE + len(days) * XP_PER_CHECK_IN + stories * XP_PER_STORY
    tokens = said.tokens_by_day.total()
    rows["user_analytics"].append(
        (person.id, messages, len(said.conversations), stories, tokens, xp)
    )
    rows["user_daily_activity"].extend(
        (person.id, day, said.messages_by_day[day], said.tokens_by_day[day]) for day in days
    )
    runs = runs_of_days(days)
    rows["user_streaks"].append((person.id, runs[-1], max(runs), days[-1]))
    unlocked = {"first_message": _evening(days[0])}
    if messages >= HUNDRED:
        unlocked["hundred_messages"] = _evening(days[-1])
    if max(runs) >= WEEK:
        unlocked["week_streak"] = _evening(days[-1])
    if person.id in crowd.first_story:
        unlocked["first_story"] = crowd.first_story[person.id]
    if person.id in crowd.first_room:
        unlocked["room_host"] = crowd.first_room[person.id]
    rows["user_achievements"].extend((person.id, code, at) for code, at in unlocked.items())


def _quotas(
    circle: Circle, rows: Rows, person: Person, said: Talked, *, is_paying: bool, bonus: int
) -> None:
    """Counters of the period that is running when everything has happened (contract, 5.1)."""
    today = circle.until.date()
    month = today.replace(day=1)
    since = month if is_paying else today
    used = sum(count for day, count in said.chat_units_by_day.items() if day >= since)
    period = _midnight(since)
    rows["user_quotas"].append((person.id, "chat", period, used, bonus, said.standard_tokens))
    if said.premium_tokens:
        used = sum(count for day, count in said.premium_by_day.items() if day >= month)
        premium = (person.id, "premium_model", _midnight(month), used, 0, said.premium_tokens)
        rows["user_quotas"].append(premium)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _evening(day: date) -> datetime:
    return datetime.combine(day, time(20), UTC)
