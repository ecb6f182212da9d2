"""What the chat domain does about events of others (contract, 4)."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.chat.repository import upkeep
from shared.cache import QUOTA, TIER, Cache
from shared.events.consumer import Handler
from shared.events.envelope import Event
from shared.placement.connection import Connection

SUBSCRIPTION_EVENTS = (
    "subscription.created",
    "subscription.upgraded",
    "subscription.downgraded",
    "subscription.renewed",
    "subscription.cancelled",
    "subscription.paused",
    "subscription.resumed",
)


class ChatEvents:
    """Handlers; each runs in the transaction of its inbox row."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def handlers(self) -> Mapping[str, Handler]:
        """By event type, as the manifest subscribes."""
        return {
            "user.deleted": self.erase,
            "media.deleted": self.forget_media,
            "quota.updated": self.forget_quotas,
            **dict.fromkeys(SUBSCRIPTION_EVENTS, self.forget_tier),
        }

    async def erase(self, connection: Connection, event: Event) -> None:
        """Everything that a user has said and was told."""
        if event.subject is not None:
            await upkeep.erase_user(connection, UUID(event.subject))

    async def forget_media(self, connection: Connection, event: Event) -> None:
        """Messages lose a picture that is gone."""
        await upkeep.forget_media(connection, UUID(event.data["media_id"]))

    async def forget_tier(self, _connection: Connection, event: Event) -> None:
        """Forgetting is right whatever the version is: the tier is read anew."""
        if event.subject is not None:
            await self._cache.forget(TIER, event.subject)

    async def forget_quotas(self, _connection: Connection, event: Event) -> None:
        if event.subject is not None:
            await self._cache.forget(QUOTA, event.subject)
