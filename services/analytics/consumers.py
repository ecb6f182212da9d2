"""What the analytics domain counts when others tell that something has happened (contract, 4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date
from uuid import UUID

from services.analytics import counters
from services.analytics.models import Report
from services.analytics.rules import HUNDRED_MESSAGES, XP_PER_MESSAGE, XP_PER_STORY
from shared.events.consumer import Handler
from shared.events.envelope import Event
from shared.placement import Database
from shared.placement.connection import Connection

Counting = Callable[[Connection, Event, UUID], Awaitable[None]]

#: Heard because the contract says so; they change no figure of today.
WITHOUT_FIGURE = (
    "subscription.upgraded",
    "subscription.downgraded",
    "subscription.renewed",
    "subscription.paused",
    "subscription.resumed",
    "payment.failed",
)


class AnalyticsEvents:
    """Handlers; each runs in the transaction of its inbox row, so it counts an event once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def handlers(self) -> Mapping[str, Handler]:
        """By event type, as the manifest subscribes."""
        return {
            **{name: self._of_living_user(counting) for name, counting in COUNTED.items()},
            **dict.fromkeys(WITHOUT_FIGURE, nothing),
            "subscription.created": subscription,
            "subscription.cancelled": subscription,
            "payment.succeeded": money,
            "payment.refunded": money,
            "user.deleted": erase,
        }

    def _of_living_user(self, counting: Counting) -> Handler:
        async def handle(connection: Connection, event: Event) -> None:
            user_id = _user(event)
            await counters.take_turn(connection)
            if user_id is not None and await counters.joins(
                connection, self._database.shared, user_id
            ):
                await counting(connection, event, user_id)

        return handle


async def user_created(connection: Connection, event: Event, user_id: UUID) -> None:
    await counters.add(connection, user_id)
    await counters.add_metric(connection, _day(event), "new_users", 1)


async def logged_in(connection: Connection, event: Event, user_id: UUID) -> None:
    await counters.note_active(connection, user_id, _day(event))


async def conversation_created(connection: Connection, _event: Event, user_id: UUID) -> None:
    await counters.add(connection, user_id, conversations=1)


async def message_sent(connection: Connection, event: Event, user_id: UUID) -> None:
    data, day, tokens = event.data, _day(event), int(event.data["tokens"])
    sent = await counters.add(connection, user_id, messages=1, tokens=tokens, xp=XP_PER_MESSAGE)
    await counters.note_active(connection, user_id, day, messages=1, tokens=tokens)
    await counters.add_metric(connection, day, "messages", 1)
    await counters.add_metric(connection, day, "tokens", tokens)
    await counters.add_to_conversation(
        connection,
        UUID(data["conversation_id"]),
        user_id,
        character=data["character"] or "",
        messages=1 + len(data["message_ids"]),
        tokens=tokens,
        at=event.time,
    )
    await counters.unlock(connection, user_id, "first_message")
    if sent >= HUNDRED_MESSAGES:
        await counters.unlock(connection, user_id, "hundred_messages")


async def message_deleted(connection: Connection, event: Event, _user_id: UUID) -> None:
    await counters.take_from_conversation(connection, UUID(event.data["conversation_id"]))


async def conversation_deleted(connection: Connection, event: Event, user_id: UUID) -> None:
    await counters.mark_conversation_deleted(
        connection, UUID(event.data["conversation_id"]), user_id, event.time
    )


async def story_published(connection: Connection, event: Event, user_id: UUID) -> None:
    await counters.add(connection, user_id, stories=1, xp=XP_PER_STORY)
    await counters.unlock(connection, user_id, "first_story")
    await counters.add_metric(connection, _day(event), "stories_published", 1)


async def story_deleted(connection: Connection, event: Event, user_id: UUID) -> None:
    if event.data["was_published"]:
        await counters.add(connection, user_id, stories=-1)


async def engagement(connection: Connection, event: Event, user_id: UUID) -> None:
    """One row, named after the event."""
    report = Report(event.type.replace(".", "_"), dict(event.data), event.time)
    await counters.note_engagement(connection, event.id, user_id, report)


async def room_created(connection: Connection, event: Event, user_id: UUID) -> None:
    await engagement(connection, event, user_id)
    await counters.unlock(connection, user_id, "room_host")


async def subscription(connection: Connection, event: Event) -> None:
    await counters.take_turn(connection)
    word = "started" if event.type == "subscription.created" else "cancelled"
    await counters.add_metric(connection, _day(event), f"subscriptions_{word}", 1)


async def money(connection: Connection, event: Event) -> None:
    """Revenue is in usd cents; what is paid in another currency is not guessed at."""
    if event.data["currency"] == "usd":
        await counters.take_turn(connection)
        sign = -1 if event.type == "payment.refunded" else 1
        amount = sign * int(event.data["amount"])
        await counters.add_metric(connection, _day(event), "revenue", amount)


async def erase(connection: Connection, event: Event) -> None:
    """Remove every row of the user."""
    user_id = _user(event)
    if user_id is not None:
        await counters.take_turn(connection)
        await counters.erase(connection, user_id)


async def nothing(_connection: Connection, _event: Event) -> None:
    """Changes no figure."""


COUNTED: Mapping[str, Counting] = {
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


def _user(event: Event) -> UUID | None:
    return UUID(event.subject) if event.subject is not None else None


def _day(event: Event) -> date:
    return event.time.astimezone(UTC).date()
