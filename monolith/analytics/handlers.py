"""What analytics counts when others tell that something happened (contract, 4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from uuid import UUID

from monolith.analytics.achievements import unlock
from monolith.analytics.rules import XP_PER_MESSAGE, XP_PER_STORY
from monolith.context import Context
from monolith.database import Connection
from monolith.domain import Event
from monolith.values import parse_timestamp

Counting = Callable[[Connection, Event, UUID], Awaitable[None]]
HUNDRED = 100


def _moment(event: Event) -> datetime:
    return parse_timestamp(event.time)


def _day(event: Event) -> date:
    return _moment(event).date()


async def _metric(connection: Connection, day: date, name: str, amount: int) -> None:
    await connection.execute(
        "INSERT INTO platform_metrics (day, metric, value) VALUES ($1, $2, $3)"
        " ON CONFLICT (day, metric) DO UPDATE SET value = platform_metrics.value + excluded.value",
        day,
        name,
        amount,
    )


async def _add(connection: Connection, user_id: UUID, **amounts: int) -> None:
    """Add to columns of user_analytics; nothing falls below zero."""
    columns = list(amounts)
    updates = ", ".join(
        f"{c} = greatest(user_analytics.{c} + ${at}, 0)" for at, c in enumerate(columns, start=2)
    )
    numbers = ", ".join(f"greatest(${at}, 0)" for at in range(2, len(columns) + 2))
    await connection.execute(
        f"INSERT INTO user_analytics (user_id, {', '.join(columns)})"  # noqa: S608 - own names
        f" VALUES ($1, {numbers}) ON CONFLICT (user_id) DO UPDATE SET {updates}",
        user_id,
        *amounts.values(),
    )


async def _active(
    connection: Connection, user_id: UUID, day: date, messages: int, tokens: int
) -> None:
    await connection.execute(
        "INSERT INTO user_daily_activity (user_id, day, messages, tokens)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT (user_id, day) DO UPDATE SET"
        " messages = user_daily_activity.messages + excluded.messages,"
        " tokens = user_daily_activity.tokens + excluded.tokens",
        user_id,
        day,
        messages,
        tokens,
    )


async def user_created(connection: Connection, event: Event, user: UUID) -> None:
    await connection.execute(
        "INSERT INTO user_analytics (user_id) VALUES ($1) ON CONFLICT DO NOTHING", user
    )
    await _metric(connection, _day(event), "new_users", 1)


async def logged_in(connection: Connection, event: Event, user: UUID) -> None:
    await _active(connection, user, _day(event), 0, 0)


async def conversation_created(connection: Connection, _event: Event, user: UUID) -> None:
    await _add(connection, user, conversation_count=1)


async def message_sent(connection: Connection, event: Event, user: UUID) -> None:
    data, day, tokens = event.data, _day(event), int(event.data["tokens"])
    await _add(connection, user, message_count=1, tokens_used=tokens, xp=XP_PER_MESSAGE)
    await _active(connection, user, day, 1, tokens)
    await _metric(connection, day, "messages", 1)
    await _metric(connection, day, "tokens", tokens)
    await connection.execute(
        "INSERT INTO conversation_stats AS s (conversation_id, user_id, character_name,"
        " message_count, token_count, first_message_at, last_message_at)"
        " VALUES ($1::uuid, $2, $3, $4, $5, $6, $6) ON CONFLICT (conversation_id) DO UPDATE SET"
        " character_name = CASE WHEN s.character_name = '' THEN excluded.character_name"
        " ELSE s.character_name END, message_count = s.message_count + excluded.message_count,"
        " token_count = s.token_count + excluded.token_count,"
        " first_message_at = least(s.first_message_at, excluded.first_message_at),"
        " last_message_at = greatest(s.last_message_at, excluded.last_message_at)",
        data["conversation_id"],
        user,
        data["character"] or "",
        1 + len(data["message_ids"]),
        tokens,
        _moment(event),
    )
    sent = await connection.fetchval(
        "SELECT message_count FROM user_analytics WHERE user_id = $1", user
    )
    await unlock(connection, user, "first_message", event.request_id)
    if sent >= HUNDRED:
        await unlock(connection, user, "hundred_messages", event.request_id)


async def message_deleted(connection: Connection, event: Event, _user: UUID) -> None:
    await connection.execute(
        "UPDATE conversation_stats SET message_count = greatest(message_count - 1, 0)"
        " WHERE conversation_id = $1::uuid",
        event.data["conversation_id"],
    )


async def conversation_deleted(connection: Connection, event: Event, user: UUID) -> None:
    """A marked row stays, so that a late message.sent does not bring it back."""
    await connection.execute(
        "INSERT INTO conversation_stats (conversation_id, user_id, character_name,"
        " first_message_at, last_message_at, deleted_at) VALUES ($1::uuid, $2, '', $3, $3, now())"
        " ON CONFLICT (conversation_id) DO UPDATE SET deleted_at = now()",
        event.data["conversation_id"],
        user,
        _moment(event),
    )


async def story_published(connection: Connection, event: Event, user: UUID) -> None:
    await _add(connection, user, story_count=1, xp=XP_PER_STORY)
    await _metric(connection, _day(event), "stories_published", 1)
    await unlock(connection, user, "first_story", event.request_id)


async def story_deleted(connection: Connection, event: Event, user: UUID) -> None:
    if event.data["was_published"]:
        await _add(connection, user, story_count=-1)


async def engagement(connection: Connection, event: Event, user: UUID) -> None:
    """One row per event; the event's id keeps it single."""
    await connection.execute(
        "INSERT INTO engagement_events (id, user_id, name, properties, occurred_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        event.id,
        user,
        event.type.replace(".", "_"),
        dict(event.data),
        _moment(event),
    )


async def room_created(connection: Connection, event: Event, user: UUID) -> None:
    await engagement(connection, event, user)
    await unlock(connection, user, "room_host", event.request_id)


COUNTED: dict[str, Counting] = {
    "user.created": user_created,
    "user.logged_in": logged_in,
    "conversation.created": conversation_created,
    "conversation.completed": engagement,
    "conversation.deleted": conversation_deleted,
    "message.sent": message_sent,
    "message.deleted": message_deleted,
    "story.published": story_published,
    "story.deleted": story_deleted,
    "story.liked": engagement,
    "room.created": room_created,
    "room.joined": engagement,
    "room.left": engagement,
    "promo.redeemed": engagement,
    "quota.depleted": engagement,
    "quota.reset": engagement,
}


async def count(_context: Context, connection: Connection, event: Event) -> None:
    """Figures of a user who is still there."""
    alive = await connection.fetchval(
        "SELECT deleted_at IS NULL FROM users WHERE id = $1", event.user_id
    )
    if alive and event.user_id is not None:
        await COUNTED[event.type](connection, event, event.user_id)


async def count_subscription(_context: Context, connection: Connection, event: Event) -> None:
    word = "started" if event.type == "subscription.created" else "cancelled"
    await _metric(connection, _day(event), f"subscriptions_{word}", 1)


async def count_money(_context: Context, connection: Connection, event: Event) -> None:
    """Revenue is in usd cents; what is paid in another currency is not guessed at."""
    if event.data["currency"] == "usd":
        sign = -1 if event.type == "payment.refunded" else 1
        await _metric(connection, _day(event), "revenue", sign * int(event.data["amount"]))


async def erase_user(_context: Context, connection: Connection, event: Event) -> None:
    for table in (
        "user_analytics",
        "user_daily_activity",
        "conversation_stats",
        "user_streaks",
        "user_achievements",
        "engagement_events",
    ):
        await connection.execute(
            f"DELETE FROM {table} WHERE user_id = $1",  # noqa: S608 - constants above
            event.user_id,
        )


HANDLERS = {
    **dict.fromkeys(COUNTED, count),
    "subscription.created": count_subscription,
    "subscription.cancelled": count_subscription,
    "payment.succeeded": count_money,
    "payment.refunded": count_money,
    "user.deleted": erase_user,
}
