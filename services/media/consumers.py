"""What the media domain does about events of others (contract, 4)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID

from services.media import repository
from services.media.models import ChatImage
from shared.cache import QUOTA, TIER, Cache
from shared.events.consumer import Handler
from shared.events.envelope import Event
from shared.placement import Database
from shared.placement.connection import Connection
from shared.storage import Storage

SUBSCRIPTION_EVENTS = (
    "subscription.created",
    "subscription.upgraded",
    "subscription.downgraded",
    "subscription.renewed",
    "subscription.cancelled",
    "subscription.paused",
    "subscription.resumed",
)
#: Files of one user that are removed at the same time.
REMOVALS_AT_ONCE = 16


class MediaEvents:
    """Handlers; each runs in the transaction of its inbox row."""

    def __init__(self, database: Database, storage: Storage, cache: Cache) -> None:
        self._database = database
        self._storage = storage
        self._cache = cache

    def handlers(self) -> Mapping[str, Handler]:
        """By event type, as the manifest subscribes."""
        return {
            "chat.image_received": self.adopt,
            "user.deleted": self.erase,
            "quota.updated": self.forget_quotas,
            **dict.fromkeys(SUBSCRIPTION_EVENTS, self.forget_tier),
        }

    async def adopt(self, connection: Connection, event: Event) -> None:
        """The row of bytes that chat has stored; if their owner is gone by now, the bytes go too."""
        data = event.data
        if event.subject is None:
            return
        user_id = UUID(event.subject)
        if not await repository.is_live(self._database.shared, user_id):
            await self._storage.delete(data["storage_key"])
            return
        image = ChatImage(
            id=UUID(data["media_id"]),
            user_id=user_id,
            storage_key=data["storage_key"],
            content_type=data["content_type"],
            bytes=data["bytes"],
            width=data["width"],
            height=data["height"],
            sha256=data["sha256"],
        )
        await repository.adopt(connection, image)

    async def erase(self, connection: Connection, event: Event) -> None:
        """Everything of a user: the bytes first, because removing them twice is harmless."""
        if event.subject is None:
            return
        user_id = UUID(event.subject)
        keys = await repository.lock_all_of(connection, user_id)
        free = asyncio.Semaphore(REMOVALS_AT_ONCE)

        async def remove(key: str) -> None:
            async with free:
                await self._storage.delete(key)

        async with asyncio.TaskGroup() as removals:
            for key in keys:
                removals.create_task(remove(key))
        await repository.remove_all_of(connection, user_id)

    async def forget_tier(self, _connection: Connection, event: Event) -> None:
        """Forgetting is right whatever the version is: the tier is read anew."""
        if event.subject is not None:
            await self._cache.forget(TIER, event.subject)

    async def forget_quotas(self, _connection: Connection, event: Event) -> None:
        if event.subject is not None:
            await self._cache.forget(QUOTA, event.subject)
