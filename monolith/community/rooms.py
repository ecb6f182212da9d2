"""Rooms: create, list, get, join, leave, members, messages."""

# ruff: noqa: S608 - statements are put together from constants; values are always arguments

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from monolith.calls import Call, CurrentCall, empty, reply
from monolith.community.authors import COLUMNS, author_of, joins
from monolith.community.hub import RoomHub
from monolith.community.membership import leave
from monolith.community.notices import notify
from monolith.community.room_models import (
    MEMBERS_DEFAULT,
    JoinIn,
    Member,
    MemberPage,
    Room,
    RoomIn,
    RoomMessagePage,
    RoomMessageQuery,
    RoomPage,
    RoomQuery,
    RoomSettingsIn,
)
from monolith.community.room_rows import (
    MESSAGE,
    ROOM,
    find_room,
    new_join_code,
    require_member,
    room_message_of,
    room_of,
)
from monolith.community.router import router
from monolith.database import Connection, Row, emit
from monolith.errors import ApiError, not_found
from monolith.pages import Cursor, PageQuery, cut, decode_cursor, time_sort
from monolith.values import Identifier


async def _announce(
    connection: Connection, call: Call, event: str, room_id: object, count: int
) -> None:
    data = {"room_id": str(room_id), "member_count": count}
    await emit(connection, event, call.user_id, data, "community", call.request_id)


@router.route(
    "room_create",
    "POST",
    "/api/story/rooms",
    auth="user",
    kind="write",
    bucket="default",
    answer=Room,
    success=201,
    keyed=True,
)
async def room_create(call: CurrentCall, body: RoomIn) -> Response:
    settings = body.settings or RoomSettingsIn()
    async with call.context.database.transaction() as connection:
        room_id = None
        while room_id is None:  # a code that is taken already is as rare as 1 in 2^40
            room_id = await connection.fetchval(
                "INSERT INTO fandom_rooms (creator_id, name, description, universe, is_public,"
                " max_members, member_count, join_code) VALUES ($1, $2, $3, $4, $5, $6, 1, $7)"
                " ON CONFLICT (join_code) DO NOTHING RETURNING id",
                call.user_id,
                body.name,
                body.description or "",
                body.universe or "",
                bool(settings.is_public),
                settings.max_members or MEMBERS_DEFAULT,
                new_join_code(),
            )
        await connection.execute(
            "INSERT INTO room_members (room_id, user_id, role) VALUES ($1, $2, 'owner')",
            room_id,
            call.user_id,
        )
        await _announce(connection, call, "room.created", room_id, 1)
        row = await find_room(connection, call.user_id, room_id)
    if row is None:
        raise not_found("No such room")
    return reply(room_of(call.context, row), 201)


@router.route(
    "room_list",
    "GET",
    "/api/story/rooms",
    auth="user",
    kind="read",
    bucket="default",
    answer=RoomPage,
)
async def room_list(call: CurrentCall, query: Annotated[RoomQuery, Query()]) -> Response:
    cursor = decode_cursor(query.cursor)
    mine = query.scope == "mine"
    column, whose = (
        ("m.joined_at", "m.user_id IS NOT NULL") if mine else ("r.created_at", "r.is_public")
    )
    rows = await call.context.database.fetch(
        f"{ROOM} WHERE {whose}"
        f" AND ($2::timestamptz IS NULL OR ({column}, r.id) < ($2, $3))"
        f" ORDER BY {column} DESC, r.id DESC LIMIT $4",
        call.user_id,
        cursor.timestamp() if cursor else None,
        cursor.uuid() if cursor else None,
        query.limit + 1,
    )
    name = "joined_at" if mine else "created_at"
    page, rest = cut(rows, query.limit, lambda r: Cursor(time_sort(r[name]), str(r["id"])))
    return reply(
        RoomPage(
            items=[room_of(call.context, row) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
        )
    )


@router.route(
    "room_get",
    "GET",
    "/api/story/rooms/{room_id}",
    auth="user",
    kind="read",
    bucket="default",
    answer=Room,
)
async def room_get(call: CurrentCall, room_id: Identifier) -> Response:
    row = await find_room(call.context.database, call.user_id, room_id)
    if row is None or not (row["is_public"] or row["is_member"]):
        raise not_found("No such room")
    return reply(room_of(call.context, row))


@router.route(
    "room_join",
    "POST",
    "/api/story/rooms/join",
    auth="user",
    kind="write",
    bucket="sensitive",
    answer=Room,
)
async def room_join(call: CurrentCall, body: JoinIn) -> Response:
    async with call.context.database.transaction() as connection:
        room = await connection.fetchrow(
            "SELECT id, name, member_count, max_members FROM fandom_rooms WHERE join_code = $1"
            " FOR UPDATE",
            body.code,
        )
        if room is None:
            raise not_found("No such room")
        await _enter(connection, call, room)
        row = await find_room(connection, call.user_id, room["id"])
    if row is None:
        raise not_found("No such room")
    return reply(room_of(call.context, row))


async def _enter(connection: Connection, call: Call, room: Row) -> None:
    """Become a member of a locked room; nothing happens to those who are."""
    member = await connection.fetchval(
        "SELECT true FROM room_members WHERE room_id = $1 AND user_id = $2",
        room["id"],
        call.user_id,
    )
    if member:
        return
    if room["member_count"] >= room["max_members"]:
        raise ApiError("ROOM_FULL", "This room is full")
    await connection.execute(
        "INSERT INTO room_members (room_id, user_id) VALUES ($1, $2)", room["id"], call.user_id
    )
    await connection.execute(
        "UPDATE fandom_rooms SET member_count = member_count + 1 WHERE id = $1", room["id"]
    )
    await _announce(connection, call, "room.joined", room["id"], room["member_count"] + 1)
    owner = await connection.fetchval(
        "SELECT user_id FROM room_members WHERE room_id = $1 AND role = 'owner'", room["id"]
    )
    if owner is not None and owner != call.user_id:
        await notify(
            connection,
            owner,
            "room_join",
            "Somebody joined your room",
            room["name"],
            {"room_id": str(room["id"]), "user_id": str(call.user_id)},
            f"join:{room['id']}:{call.user_id}",
        )


@router.route(
    "room_leave",
    "DELETE",
    "/api/story/rooms/{room_id}/members/me",
    auth="user",
    kind="write",
    bucket="default",
    success=204,
)
async def room_leave(call: CurrentCall, room_id: Identifier) -> Response:
    async with call.context.database.transaction() as connection:
        known = await connection.fetchval(
            "SELECT true FROM fandom_rooms WHERE id = $1 FOR UPDATE", room_id
        )
        if not known:
            raise not_found("No such room")
        left = await leave(connection, room_id, call.user_id)
        if left is not None:
            await _announce(connection, call, "room.left", room_id, left)
    if left is not None:
        await call.context.part(RoomHub).tell_left(room_id, call.user_id)
    return empty()


@router.route(
    "room_members",
    "GET",
    "/api/story/rooms/{room_id}/members",
    auth="user",
    kind="read",
    bucket="default",
    answer=MemberPage,
)
async def room_members(
    call: CurrentCall, room_id: Identifier, query: Annotated[PageQuery, Query()]
) -> Response:
    cursor = decode_cursor(query.cursor)
    await require_member(call.context.database, call.user_id, room_id)
    rows = await call.context.database.fetch(
        f"SELECT m.user_id, m.role, m.joined_at, {COLUMNS} FROM room_members m"
        f"{joins('m.user_id')} WHERE m.room_id = $1"
        " AND ($2::timestamptz IS NULL OR (m.joined_at, m.user_id) > ($2, $3))"
        " ORDER BY m.joined_at, m.user_id LIMIT $4",
        room_id,
        cursor.timestamp() if cursor else None,
        cursor.uuid() if cursor else None,
        query.limit + 1,
    )
    page, rest = cut(
        rows, query.limit, lambda r: Cursor(time_sort(r["joined_at"]), str(r["user_id"]))
    )
    return reply(
        MemberPage(
            items=[
                Member(
                    user=author_of(call.context, row),
                    role=row["role"],
                    joined_at=row["joined_at"],
                )
                for row in page
            ],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
        )
    )


@router.route(
    "room_messages",
    "GET",
    "/api/story/rooms/{room_id}/messages",
    auth="user",
    kind="read",
    bucket="default",
    answer=RoomMessagePage,
)
async def room_messages(
    call: CurrentCall, room_id: Identifier, query: Annotated[RoomMessageQuery, Query()]
) -> Response:
    cursor = decode_cursor(query.cursor)
    await require_member(call.context.database, call.user_id, room_id)
    direction, sign = ("ASC", ">") if query.order == "asc" else ("DESC", "<")
    rows = await call.context.database.fetch(
        f"{MESSAGE} WHERE x.room_id = $1 AND ($2::bigint IS NULL OR x.seq {sign} $2)"
        f" ORDER BY x.seq {direction} LIMIT $3",
        room_id,
        cursor.integer() if cursor else None,
        query.limit + 1,
    )
    page, rest = cut(rows, query.limit, lambda r: Cursor(str(r["seq"]), str(r["id"])))
    return reply(
        RoomMessagePage(
            items=[room_message_of(call.context, row) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
        )
    )
