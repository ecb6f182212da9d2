"""Writes of the figures inside a given transaction; adds and subtracts, never decides. SQL only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from services.analytics.models import Report
from services.analytics.rules import CheckIns
from shared.events import outbox
from shared.events.envelope import new_event
from shared.placement.connection import Connection, Pool

_IS_LIVE = "SELECT deleted_at IS NULL FROM users WHERE id = $1"
# Events are counted by one transaction at a time: all of them add to the rows of the day, and in any
# order, so side by side they would only wait for each other and deadlock. The key is a constant of ours.
_TAKE_TURN = "SELECT pg_advisory_xact_lock(7391202617)"
# Whoever adds rows of a user holds it shared, the erasure holds it alone: so what is reported while
# its author is erased either is erased too, or sees that the author is gone.
_JOIN = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))"
_SHUT_OUT = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

_ADD = """
INSERT INTO user_analytics AS a
  (user_id, message_count, conversation_count, story_count, tokens_used, xp)
VALUES ($1, greatest($2::bigint, 0), greatest($3::bigint, 0), greatest($4::bigint, 0), $5, $6)
ON CONFLICT (user_id) DO UPDATE SET message_count = greatest(a.message_count + $2, 0),
  conversation_count = greatest(a.conversation_count + $3, 0),
  story_count = greatest(a.story_count + $4, 0),
  tokens_used = a.tokens_used + $5, xp = a.xp + $6
RETURNING message_count
"""
_METRIC = """
INSERT INTO platform_metrics AS m (day, metric, value) VALUES ($1, $2, $3)
ON CONFLICT (day, metric) DO UPDATE SET value = m.value + excluded.value
"""
_ACTIVE = """
INSERT INTO user_daily_activity AS d (user_id, day, messages, tokens) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, day) DO UPDATE SET messages = d.messages + excluded.messages,
  tokens = d.tokens + excluded.tokens
"""
_TALKED = """
INSERT INTO conversation_stats AS s (conversation_id, user_id, character_name, message_count,
  token_count, first_message_at, last_message_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (conversation_id) DO UPDATE SET
  character_name = CASE WHEN s.character_name = '' THEN excluded.character_name
    ELSE s.character_name END,
  message_count = s.message_count + excluded.message_count,
  token_count = s.token_count + excluded.token_count,
  first_message_at = least(s.first_message_at, excluded.first_message_at),
  last_message_at = greatest(s.last_message_at, excluded.last_message_at)
"""
_ONE_LESS = """
UPDATE conversation_stats SET message_count = greatest(message_count - 1, 0)
WHERE conversation_id = $1
"""
# A marked row stays, so that a late message.sent does not bring the conversation back.
_MARK_DELETED = """
INSERT INTO conversation_stats
  (conversation_id, user_id, character_name, first_message_at, last_message_at, deleted_at)
VALUES ($1, $2, '', $3, $3, now())
ON CONFLICT (conversation_id) DO UPDATE SET deleted_at = now()
"""
_UNLOCK = """
INSERT INTO user_achievements (user_id, code) VALUES ($1, $2) ON CONFLICT DO NOTHING
RETURNING true
"""
_ENGAGE = """
INSERT INTO engagement_events (id, user_id, name, properties, occurred_at)
VALUES ($1, $2, $3, $4::text::jsonb, $5) ON CONFLICT DO NOTHING
"""
_REPORT = """
INSERT INTO engagement_events (user_id, name, properties, occurred_at)
SELECT $1, e.name, e.properties::jsonb, e.occurred_at
FROM unnest($2::text[], $3::text[], $4::timestamptz[]) AS e(name, properties, occurred_at)
"""
_BEGIN_STREAK = "INSERT INTO user_streaks (user_id) VALUES ($1) ON CONFLICT DO NOTHING"
_LOCK_STREAK = """
SELECT current_days, longest_days, last_check_in FROM user_streaks WHERE user_id = $1 FOR UPDATE
"""
_KEEP_STREAK = """
UPDATE user_streaks SET current_days = $2, longest_days = $3, last_check_in = $4 WHERE user_id = $1
"""
_ERASE = (
    "DELETE FROM user_analytics WHERE user_id = $1",
    "DELETE FROM user_daily_activity WHERE user_id = $1",
    "DELETE FROM conversation_stats WHERE user_id = $1",
    "DELETE FROM user_streaks WHERE user_id = $1",
    "DELETE FROM user_achievements WHERE user_id = $1",
    "DELETE FROM engagement_events WHERE user_id = $1",
)


async def joins(connection: Connection, accounts: Pool, user_id: UUID) -> bool:
    """Whether rows may be added for a user until the transaction ends.

    `accounts` is the shared database. An erasure of the user waits for this transaction.
    """
    await connection.execute(_JOIN, str(user_id))
    return bool(await accounts.fetchval(_IS_LIVE, user_id))


async def take_turn(connection: Connection) -> None:
    """Wait until no other event is counted; the turn ends with the transaction."""
    await connection.execute(_TAKE_TURN)


async def erase(connection: Connection, user_id: UUID) -> None:
    """Remove every row of a user, after all who add some have ended; needs the turn."""
    await connection.execute(_SHUT_OUT, str(user_id))
    for statement in _ERASE:
        await connection.execute(statement, user_id)


async def add(
    connection: Connection,
    user_id: UUID,
    *,
    messages: int = 0,
    conversations: int = 0,
    stories: int = 0,
    tokens: int = 0,
    xp: int = 0,
) -> int:
    """Add to a user's figures, none of which falls below zero; returns the messages so far."""
    sent: int = await connection.fetchval(
        _ADD, user_id, messages, conversations, stories, tokens, xp
    )
    return sent


async def add_metric(connection: Connection, day: date, metric: str, amount: int) -> None:
    """Add to a figure of the whole product."""
    await connection.execute(_METRIC, day, metric, amount)


async def note_active(
    connection: Connection, user_id: UUID, day: date, *, messages: int = 0, tokens: int = 0
) -> None:
    """The user was there on a day."""
    await connection.execute(_ACTIVE, user_id, day, messages, tokens)


async def add_to_conversation(
    connection: Connection,
    conversation_id: UUID,
    user_id: UUID,
    *,
    character: str,
    messages: int,
    tokens: int,
    at: datetime,
) -> None:
    """Count messages of a conversation; a deleted one stays deleted."""
    await connection.execute(_TALKED, conversation_id, user_id, character, messages, tokens, at)


async def take_from_conversation(connection: Connection, conversation_id: UUID) -> None:
    """One message less; nothing when the conversation is not known."""
    await connection.execute(_ONE_LESS, conversation_id)


async def mark_conversation_deleted(
    connection: Connection, conversation_id: UUID, user_id: UUID, at: datetime
) -> None:
    await connection.execute(_MARK_DELETED, conversation_id, user_id, at)


async def unlock(connection: Connection, user_id: UUID, code: str) -> None:
    """An achievement, once per user, with its event."""
    if await connection.fetchval(_UNLOCK, user_id, code):
        event = new_event(
            "achievement.unlocked", source="analytics", subject=user_id, data={"code": code}
        )
        await outbox.add(connection, event)


async def note_engagement(
    connection: Connection, event_id: UUID, user_id: UUID, report: Report
) -> None:
    """One row per event of another domain; the event's id keeps it single."""
    await connection.execute(
        _ENGAGE,
        event_id,
        user_id,
        report.name,
        json.dumps(report.properties),
        report.occurred_at,
    )


async def note_reports(connection: Connection, user_id: UUID, reports: Sequence[Report]) -> None:
    """What a client has reported, each with its event."""
    await connection.execute(
        _REPORT,
        user_id,
        [report.name for report in reports],
        [json.dumps(report.properties) for report in reports],
        [report.occurred_at for report in reports],
    )
    events = [
        new_event(
            "user.engagement",
            source="analytics",
            subject=user_id,
            data={
                "name": report.name,
                "properties": report.properties,
                "occurred_at": report.occurred_at,
            },
        )
        for report in reports
    ]
    await outbox.add(connection, *events)


async def locked_check_ins(connection: Connection, user_id: UUID) -> CheckIns:
    """The user's check-ins, which nobody else changes until the transaction ends."""
    await connection.execute(_BEGIN_STREAK, user_id)
    row = await connection.fetchrow(_LOCK_STREAK, user_id)
    return CheckIns(*row) if row is not None else CheckIns()


async def keep_check_ins(connection: Connection, user_id: UUID, check_ins: CheckIns) -> None:
    await connection.execute(
        _KEEP_STREAK,
        user_id,
        check_ins.current,
        check_ins.longest,
        check_ins.last_check_in,
    )
