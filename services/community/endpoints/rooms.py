"""Rooms: parameters in, wire models out."""

from __future__ import annotations

from typing import Literal

from services.community.endpoints.parameters import (
    AfterCursor,
    Service,
    after_moment,
    next_cursor,
)
from shared.auth.dependencies import CurrentUser
from shared.contract.community import (
    CreateRoom,
    JoinRoom,
    Room,
    RoomMemberPage,
    RoomMessagePage,
    RoomPage,
    RoomScope,
)
from shared.contract.values import Id
from shared.web.cursors import Limit
from shared.web.endpoints import ServiceRouter

router = ServiceRouter()


@router.endpoint("community.room_create")
async def create(community: Service, user: CurrentUser, body: CreateRoom) -> Room:
    return await community.rooms.create(user.id, body)


@router.endpoint("community.room_list")
async def list_(
    community: Service,
    user: CurrentUser,
    after: AfterCursor,
    scope: RoomScope = "mine",
    limit: Limit = 20,
) -> RoomPage:
    page = await community.rooms.page(user.id, scope, after_moment(after), limit)
    return RoomPage(
        items=tuple(page.items),
        next_cursor=next_cursor(page.last),
        has_more=page.last is not None,
    )


@router.endpoint("community.room_get")
async def get(community: Service, user: CurrentUser, room_id: Id) -> Room:
    return await community.rooms.get(user.id, room_id)


@router.endpoint("community.room_join")
async def join(community: Service, user: CurrentUser, body: JoinRoom) -> Room:
    return await community.rooms.join(user.id, body.code)


@router.endpoint("community.room_leave")
async def leave(community: Service, user: CurrentUser, room_id: Id) -> None:
    await community.rooms.leave(user.id, room_id)


@router.endpoint("community.room_members")
async def members(
    community: Service, user: CurrentUser, room_id: Id, after: AfterCursor, limit: Limit = 20
) -> RoomMemberPage:
    page = await community.rooms.members(user.id, room_id, after_moment(after), limit)
    return RoomMemberPage(
        items=tuple(page.items),
        next_cursor=next_cursor(page.last),
        has_more=page.last is not None,
    )


@router.endpoint("community.room_messages")
async def messages(
    community: Service,
    user: CurrentUser,
    room_id: Id,
    after: AfterCursor,
    order: Literal["asc", "desc"] = "desc",
    limit: Limit = 20,
) -> RoomMessagePage:
    page = await community.rooms.messages(
        user.id,
        room_id,
        oldest_first=order == "asc",
        after=after.integer() if after is not None else None,
        limit=limit,
    )
    return RoomMessagePage(
        items=tuple(page.items),
        next_cursor=next_cursor(page.last),
        has_more=page.last is not None,
    )
