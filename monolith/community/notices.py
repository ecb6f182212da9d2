"""Notifications: writing one once, listing, marking as read."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import Field, model_validator

from monolith.calls import CurrentCall, reply
from monolith.community.router import router
from monolith.database import Connection, Database, affected
from monolith.pages import Cursor, PageQuery, cut, decode_cursor, time_sort
from monolith.values import Identifier, Timestamp, Wire

NOTICE = """SELECT id, kind, title, body, data, read_at IS NOT NULL AS read, created_at
  FROM notifications"""


class Notification(Wire):
    id: UUID
    kind: str
    title: str
    body: str
    data: dict[str, Any]
    read: bool
    created_at: Timestamp


class NotificationPage(Wire):
    items: list[Notification]
    next_cursor: str | None
    has_more: bool
    unread_count: int


class NotificationQuery(PageQuery):
    unread: bool = False


class ReadIn(Wire):
    ids: Annotated[list[Identifier], Field(min_length=1, max_length=100)] | None = None
    all: bool | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> ReadIn:
        if (self.ids is None) == (self.all is not True):
            raise ValueError("give exactly one of ids and all = true")
        return self


class ReadOut(Wire):
    updated: int
    unread_count: int


async def notify(
    connection: Connection,
    user_id: object,
    kind: str,
    title: str,
    body: str,
    data: dict[str, Any],
    dedupe_key: str,
) -> None:
    """One notification per key, and none for people who left."""
    await connection.execute(
        "INSERT INTO notifications (user_id, kind, title, body, data, dedupe_key)"
        " SELECT u.id, $2, $3, $4, $5, $6 FROM users u WHERE u.id = $1::uuid"
        " AND u.deleted_at IS NULL ON CONFLICT (user_id, dedupe_key) DO NOTHING",
        user_id,
        kind,
        title,
        body,
        data,
        dedupe_key,
    )


async def unread_count(database: Database, user_id: UUID) -> int:
    count: int = await database.value(
        "SELECT count(*) FROM notifications WHERE user_id = $1 AND read_at IS NULL", user_id
    )
    return count


@router.route(
    "notification_list",
    "GET",
    "/api/notifications",
    auth="user",
    kind="read",
    bucket="default",
    answer=NotificationPage,
)
async def notification_list(
    call: CurrentCall, query: Annotated[NotificationQuery, Query()]
) -> Response:
    cursor = decode_cursor(query.cursor)
    rows = await call.context.database.fetch(
        NOTICE + " WHERE user_id = $1 AND (NOT $2 OR read_at IS NULL)"
        " AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))"
        " ORDER BY created_at DESC, id DESC LIMIT $5",
        call.user_id,
        query.unread,
        cursor.timestamp() if cursor else None,
        cursor.uuid() if cursor else None,
        query.limit + 1,
    )
    page, rest = cut(rows, query.limit, lambda r: Cursor(time_sort(r["created_at"]), str(r["id"])))
    return reply(
        NotificationPage(
            items=[Notification(**dict(row)) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
            unread_count=await unread_count(call.context.database, call.user_id),
        )
    )


@router.route(
    "notification_read",
    "POST",
    "/api/notifications/read",
    auth="user",
    kind="write",
    bucket="default",
    answer=ReadOut,
)
async def notification_read(call: CurrentCall, body: ReadIn) -> Response:
    status = await call.context.database.execute(
        "UPDATE notifications SET read_at = now() WHERE user_id = $1 AND read_at IS NULL"
        " AND ($2::uuid[] IS NULL OR id = ANY ($2))",
        call.user_id,
        body.ids,
    )
    unread = await unread_count(call.context.database, call.user_id)
    return reply(ReadOut(updated=affected(status), unread_count=unread))
