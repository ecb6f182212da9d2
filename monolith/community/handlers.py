"""What community does when others tell that something happened (contract, 4)."""

from __future__ import annotations

from uuid import UUID

from monolith.community.membership import leave
from monolith.community.notices import notify
from monolith.context import Context
from monolith.database import Connection
from monolith.domain import Event

# Type -> kind, title, body of the notification that the event's user gets.
NOTICES = {
    "user.created": ("welcome", "Welcome", "Say hello to your first character."),
    "subscription.created": ("subscription", "Your subscription has started", ""),
    "subscription.upgraded": ("subscription", "Your plan was upgraded", ""),
    "subscription.downgraded": ("subscription", "Your plan was changed", ""),
    "subscription.renewed": ("subscription", "Your subscription was renewed", ""),
    "subscription.cancelled": ("subscription", "Your subscription has ended", ""),
    "subscription.paused": ("subscription", "Your subscription is paused", ""),
    "subscription.resumed": ("subscription", "Your subscription goes on", ""),
    "payment.failed": ("payment_failed", "A payment failed", "Check your payment method."),
    "streak.milestone": ("streak", "You keep coming back", "A bonus is waiting for you."),
    "achievement.unlocked": ("achievement", "New achievement", ""),
}
# Parts of the event's data that a client may need to show the notification well.
SHOWN = ("subscription_id", "new_tier", "status", "amount", "currency", "day", "bonus", "code")
# Name of a reported event -> table, key in its properties, counter.
COUNTERS = {
    "story_view": ("stories", "story_id", "view_count"),
    "scenario_view": ("scenarios", "scenario_id", "view_count"),
    "scenario_use": ("scenarios", "scenario_id", "use_count"),
}


async def notice(_context: Context, connection: Connection, event: Event) -> None:
    kind, title, body = NOTICES[event.type]
    data = {name: event.data[name] for name in SHOWN if name in event.data}
    await notify(connection, event.user_id, kind, title, body, data, str(event.id))


async def notice_referrer(_context: Context, connection: Connection, event: Event) -> None:
    referrer = event.data["referrer_id"]
    title = "Somebody joined with your code"
    data = {"code": event.data["code"]}
    await notify(connection, referrer, "referral", title, "", data, str(event.id))


async def forget_conversation(_context: Context, connection: Connection, event: Event) -> None:
    await connection.execute(
        "UPDATE stories SET conversation_id = NULL WHERE conversation_id = $1::uuid",
        event.data["conversation_id"],
    )


async def forget_media(_context: Context, connection: Connection, event: Event) -> None:
    await connection.execute(
        "UPDATE community_characters SET image_media_id = NULL WHERE image_media_id = $1::uuid",
        event.data["media_id"],
    )


async def raise_counter(_context: Context, connection: Connection, event: Event) -> None:
    """user.engagement: views and uses that clients report."""
    counter = COUNTERS.get(event.data["name"])
    if counter is None:
        return
    table, key, column = counter
    target = event.data["properties"].get(key)
    try:
        identity = UUID(target)
    except (ValueError, TypeError, AttributeError):
        return
    await connection.execute(
        f"UPDATE {table} SET {column} = {column} + 1 WHERE id = $1",  # noqa: S608 - constants
        identity,
    )


async def erase_user(_context: Context, connection: Connection, event: Event) -> None:
    """user.deleted: everything that is the user's; what others said in rooms stays."""
    user = event.user_id
    liked = await connection.fetch(
        "DELETE FROM story_likes WHERE user_id = $1 RETURNING story_id", user
    )
    await connection.execute(
        "UPDATE stories SET like_count = greatest(like_count - 1, 0) WHERE id = ANY ($1)",
        [row["story_id"] for row in liked],
    )
    rooms = await connection.fetch(
        "SELECT r.id FROM fandom_rooms r JOIN room_members m ON m.room_id = r.id"
        " WHERE m.user_id = $1 ORDER BY r.id FOR UPDATE OF r",
        user,
    )
    for room in rooms:
        if user is not None:
            await leave(connection, room["id"], user)
    await connection.execute(
        "DELETE FROM community_votes v USING stories s WHERE v.target_type = 'story'"
        " AND v.target_id = s.id AND s.user_id = $1",
        user,
    )
    for statement in (
        "DELETE FROM stories WHERE user_id = $1",
        "DELETE FROM community_votes WHERE user_id = $1",
        "DELETE FROM community_characters WHERE creator_id = $1",
        "DELETE FROM notifications WHERE user_id = $1",
        "DELETE FROM scenarios WHERE creator_id = $1 AND NOT is_public",
        "UPDATE scenarios SET creator_id = NULL WHERE creator_id = $1",
        "UPDATE room_messages SET user_id = NULL WHERE user_id = $1",
    ):
        await connection.execute(statement, user)


HANDLERS = {
    **dict.fromkeys(NOTICES, notice),
    "referral.confirmed": notice_referrer,
    "conversation.deleted": forget_conversation,
    "media.deleted": forget_media,
    "user.engagement": raise_counter,
    "user.deleted": erase_user,
}
