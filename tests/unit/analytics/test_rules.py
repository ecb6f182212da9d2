"""Streaks, levels, engagement and percentiles, by the numbers of the contract."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.models import DayFigures, platform_days, platform_totals, streak_of
from services.analytics.rules import (
    MILESTONES,
    CheckIns,
    engagement_tier,
    level_of,
    next_milestone,
    percentile_of,
)

TODAY = date(2025, 3, 1)


def test_a_check_in_on_the_next_day_goes_on_and_after_a_gap_begins_again() -> None:
    first = CheckIns().checked_in(TODAY)
    assert first == CheckIns(1, 1, TODAY)
    assert first.checked_in(TODAY) is first
    second = first.checked_in(TODAY + timedelta(days=1))
    assert second == CheckIns(2, 2, TODAY + timedelta(days=1))
    assert second.checked_in(TODAY + timedelta(days=3)) == CheckIns(1, 2, TODAY + timedelta(days=3))


def test_a_streak_is_shown_until_a_whole_day_was_missed() -> None:
    check_ins = CheckIns(6, 9, TODAY)
    tomorrow = streak_of(check_ins, TODAY + timedelta(days=1))
    assert (tomorrow.current, tomorrow.checked_in_today) == (6, False)
    assert tomorrow.next_milestone is not None
    assert tomorrow.next_milestone.day == 7
    assert streak_of(check_ins, TODAY + timedelta(days=2)).current == 0
    assert streak_of(CheckIns(100, 100, TODAY), TODAY).next_milestone is None


@given(st.lists(st.integers(min_value=0, max_value=4), max_size=60))
def test_the_longest_run_is_never_shorter_than_the_current_one(pauses: list[int]) -> None:
    check_ins, day, run, longest = CheckIns(), TODAY, 0, 0
    for pause in pauses:
        day += timedelta(days=pause)
        run = run if pause == 0 and run else (run + 1 if pause == 1 else 1)
        longest = max(longest, run)
        check_ins = check_ins.checked_in(day)
        assert (check_ins.current, check_ins.longest) == (run, longest)


@pytest.mark.parametrize(
    ("xp", "level"), [(0, 1), (49, 1), (50, 2), (199, 2), (200, 3), (-5, 1), (5000, 11)]
)
def test_levels_grow_with_the_root_of_experience(xp: int, level: int) -> None:
    assert level_of(xp) == level


@pytest.mark.parametrize(
    ("messages", "tier"), [(0, "casual"), (9, "casual"), (10, "regular"), (99, "regular"), (100, "devoted")]
)  # fmt: skip
def test_engagement_goes_by_the_messages_of_a_month(messages: int, tier: str) -> None:
    assert engagement_tier(messages) == tier


def test_the_next_milestone_lies_ahead() -> None:
    for day, bonus in MILESTONES.items():
        assert next_milestone(day - 1) == (day, bonus)
    assert next_milestone(100) is None


@given(st.lists(st.integers(min_value=1, max_value=50), min_size=1, max_size=30))
def test_a_percentile_lies_between_0_and_100_and_never_falls_with_more_messages(
    counts: list[int],
) -> None:
    shown = [
        percentile_of(own, sum(other < own for other in counts), len(counts))
        for own in sorted(counts)
    ]
    assert shown == sorted(shown)
    assert all(0 <= percentile <= 100 for percentile in shown)
    assert percentile_of(0, 0, len(counts)) == 0


def test_days_without_figures_are_there_and_people_count_once_in_the_totals() -> None:
    second = TODAY + timedelta(days=1)
    stored = DayFigures({(TODAY, "messages"): 2, (second, "revenue"): 5}, {TODAY: 3, second: 3}, 4)
    days = platform_days(TODAY, second + timedelta(days=1), stored)
    assert [day.day for day in days] == [TODAY, second, second + timedelta(days=1)]
    assert [day.messages for day in days] == [2, 0, 0]
    totals = platform_totals(days, stored.distinct_active)
    assert (totals.active_users, totals.messages, totals.revenue) == (4, 2, 5)
