"""Daily check-ins and what they earn."""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

from fastapi import Response

from monolith.analytics.achievements import unlock
from monolith.analytics.models import CheckInOut, Milestone, Reward, StreakOut
from monolith.analytics.router import router
from monolith.analytics.rules import (
    MILESTONES,
    WEEK_DAYS,
    XP_PER_CHECK_IN,
    Streak,
    next_milestone,
)
from monolith.calls import Call, CurrentCall, reply
from monolith.database import Connection, emit

STREAK = "SELECT current_days, longest_days, last_check_in FROM user_streaks WHERE user_id = $1"


def today_utc() -> date:
    return datetime.now(UTC).date()


async def _read(connection: Connection, user_id: UUID, *, locked: bool = False) -> Streak:
    row = await connection.fetchrow(STREAK + (" FOR UPDATE" if locked else ""), user_id)
    return Streak(0, 0, None) if row is None else Streak(*row)


def _shown(streak: Streak, today: date) -> StreakOut:
    current = streak.shown_on(today)
    ahead = next_milestone(current)
    return StreakOut(
        current=current,
        longest=streak.longest,
        last_check_in=streak.last_check_in,
        checked_in_today=streak.last_check_in == today,
        next_milestone=None if ahead is None else Milestone(day=ahead[0], bonus=ahead[1]),
    )


@router.route(
    "streak",
    "GET",
    "/api/analytics/users/me/streak",
    auth="user",
    kind="read",
    bucket="default",
    answer=StreakOut,
)
async def streak(call: CurrentCall) -> Response:
    async with call.context.database.connection() as connection:
        return reply(_shown(await _read(connection, call.user_id), today_utc()))


@router.route(
    "check_in",
    "POST",
    "/api/analytics/users/me/streak/check-in",
    auth="user",
    kind="write",
    bucket="default",
    answer=CheckInOut,
)
async def check_in(call: CurrentCall) -> Response:
    today = today_utc()
    async with call.context.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO user_streaks (user_id) VALUES ($1) ON CONFLICT DO NOTHING", call.user_id
        )
        before = await _read(connection, call.user_id, locked=True)
        after = before.checked_in(today)
        if after != before:
            await _store(connection, call, after)
    bonus = MILESTONES.get(after.current)
    return reply(
        CheckInOut(
            **_shown(after, today).model_dump(),
            reward=None if bonus is None else Reward(amount=bonus),
        )
    )


async def _store(connection: Connection, call: Call, after: Streak) -> None:
    await connection.execute(
        "UPDATE user_streaks SET current_days = $2, longest_days = $3, last_check_in = $4"
        " WHERE user_id = $1",
        call.user_id,
        after.current,
        after.longest,
        after.last_check_in,
    )
    await connection.execute(
        "INSERT INTO user_analytics (user_id, xp) VALUES ($1, $2)"
        " ON CONFLICT (user_id) DO UPDATE SET xp = user_analytics.xp + excluded.xp",
        call.user_id,
        XP_PER_CHECK_IN,
    )
    if after.current in MILESTONES:
        data = {
            "day": after.current,
            "bonus": MILESTONES[after.current],
            "check_in_day": str(after.last_check_in),
        }
        await emit(connection, "streak.milestone", call.user_id, data, "analytics", call.request_id)
    if after.current >= WEEK_DAYS:
        await unlock(connection, call.user_id, "week_streak", call.request_id)
