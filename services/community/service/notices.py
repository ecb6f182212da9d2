"""Notifications of a user: list and mark as read."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.community.models import Place, notification_of
from services.community.repository.notifications import NotificationRepository
from services.community.service.pages import Listing, cut
from shared.contract.community import Notification, NotificationsRead
from shared.placement import Database


class Notices:
    """A user's notifications, newest first."""

    def __init__(self, database: Database) -> None:
        self._notifications = NotificationRepository(database)

    async def page(
        self, user_id: UUID, *, unread: bool, after: Place | None, limit: int
    ) -> Listing[Notification]:
        rows = await self._notifications.page(user_id, unread=unread, after=after, rows=limit + 1)
        page, last = cut(rows, limit, "created_at")
        return Listing([notification_of(row) for row in page], last)

    async def unread(self, user_id: UUID) -> int:
        return await self._notifications.unread(user_id)

    async def mark_read(self, user_id: UUID, ids: Sequence[UUID] | None) -> NotificationsRead:
        """These, or all of them."""
        updated = await self._notifications.mark_read(user_id, ids)
        unread = await self._notifications.unread(user_id)
        return NotificationsRead(updated=updated, unread_count=unread)
