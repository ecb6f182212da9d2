"""Notifications: parameters in, wire models out."""

from __future__ import annotations

from services.community.endpoints.parameters import (
    AfterCursor,
    Service,
    after_moment,
    next_cursor,
)
from shared.auth.dependencies import CurrentUser
from shared.contract.community import NotificationPage, NotificationsRead, ReadNotifications
from shared.web.cursors import Limit
from shared.web.endpoints import ServiceRouter

router = ServiceRouter()


@router.endpoint("community.notification_list")
async def list_(
    community: Service,
    user: CurrentUser,
    after: AfterCursor,
    unread: bool = False,
    limit: Limit = 20,
) -> NotificationPage:
    page = await community.notices.page(
        user.id, unread=unread, after=after_moment(after), limit=limit
    )
    return NotificationPage(
        items=tuple(page.items),
        next_cursor=next_cursor(page.last),
        has_more=page.last is not None,
        unread_count=await community.notices.unread(user.id),
    )


@router.endpoint("community.notification_read")
async def read(community: Service, user: CurrentUser, body: ReadNotifications) -> NotificationsRead:
    return await community.notices.mark_read(user.id, body.ids)
