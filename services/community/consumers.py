"""What the community domain does about events of others (contract, 4)."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.community.repository import reports
from services.community.repository.accounts import Accounts
from services.community.repository.notifications import Notice
from services.community.service.news import notify
from shared.cache import PROFILE, QUOTA, TIER, Cache
from shared.events.consumer import Handler
from shared.events.envelope import Event
from shared.placement.connection import Connection

#: Type -> kind, title and body of the notification that the event's user gets.
NOTICES: Mapping[str, tuple[str, str, str]] = {
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
#: Parts of an event's data that a client may need to show the notification well.
SHOWN = ("subscription_id", "new_tier", "status", "amount", "currency", "day", "bonus", "code")


class CommunityEvents:
    """Handlers; each runs in the transaction of its inbox row."""

    def __init__(self, accounts: Accounts, cache: Cache) -> None:
        self._accounts = accounts
        self._cache = cache

    def handlers(self) -> Mapping[str, Handler]:
        """By event type, as the manifest subscribes."""
        return {
            **dict.fromkeys(NOTICES, self.notice),
            "user.updated": self.forget_profile,
            "user.deleted": self.erase,
            "referral.confirmed": self.notice_referrer,
            "quota.updated": self.forget_quotas,
            "conversation.deleted": self.forget_conversation,
            "media.deleted": self.forget_media,
            "user.engagement": self.raise_counter,
        }

    async def notice(self, connection: Connection, event: Event) -> None:
        """Tell the user what has happened to them."""
        if event.subject is None:
            return
        if event.type.startswith("subscription."):
            await self._cache.forget(TIER, event.subject)
        kind, title, body = NOTICES[event.type]
        data = {name: event.data[name] for name in SHOWN if name in event.data}
        notice = Notice(UUID(event.subject), kind, title, body, str(event.id), data)
        await notify(connection, self._accounts, notice)

    async def notice_referrer(self, connection: Connection, event: Event) -> None:
        notice = Notice(
            UUID(event.data["referrer_id"]),
            "referral",
            "Somebody joined with your code",
            "",
            str(event.id),
            {"code": event.data["code"]},
        )
        await notify(connection, self._accounts, notice)

    async def forget_conversation(self, connection: Connection, event: Event) -> None:
        await reports.forget_conversation(connection, UUID(event.data["conversation_id"]))

    async def forget_media(self, connection: Connection, event: Event) -> None:
        await reports.forget_media(connection, UUID(event.data["media_id"]))

    async def raise_counter(self, connection: Connection, event: Event) -> None:
        """Views and uses that clients report; what names nothing of ours counts nothing."""
        name = event.data["name"]
        if name not in reports.COUNTERS:
            return
        key, _ = reports.COUNTERS[name]
        try:
            target = UUID(event.data["properties"].get(key))
        except (ValueError, TypeError, AttributeError):
            return
        await reports.raise_counter(connection, name, target)

    async def erase(self, connection: Connection, event: Event) -> None:
        if event.subject is not None:
            await reports.erase(connection, UUID(event.subject))
            await self._cache.forget(PROFILE, event.subject)

    async def forget_profile(self, _connection: Connection, event: Event) -> None:
        if event.subject is not None:
            await self._cache.forget(PROFILE, event.subject)

    async def forget_quotas(self, _connection: Connection, event: Event) -> None:
        if event.subject is not None:
            await self._cache.forget(QUOTA, event.subject)
