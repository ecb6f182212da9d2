"""Rows of rooms, members and their messages as the objects of the contract."""

# ruff: noqa: S608 - statements are put together from constants; values are always arguments

from __future__ import annotations

import secrets
from uuid import UUID

from monolith.community.authors import COLUMNS, author_of, joins
from monolith.community.room_models import Room, RoomMessage, RoomSettings
from monolith.context import Context
from monolith.database import Connection, Database, Row
from monolith.errors import ApiError, not_found

CODE_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# $1 is always the viewer.
ROOM = (
    "SELECT r.id, r.name, r.description, r.universe, r.is_public, r.max_members, r.member_count,"
    f" r.join_code, r.created_at, r.updated_at, {COLUMNS}, m.joined_at,"
    " m.user_id IS NOT NULL AS is_member FROM fandom_rooms r"
    " LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = $1" + joins("r.creator_id")
)
MESSAGE = (
    f"SELECT x.id, x.room_id, x.seq, x.content, x.created_at, {COLUMNS} FROM room_messages x"
    + joins("x.user_id")
)


def room_of(context: Context, row: Row) -> Room:
    code = row["join_code"] if row["is_member"] else None
    return Room(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        universe=row["universe"],
        creator=author_of(context, row),
        settings=RoomSettings(is_public=row["is_public"], max_members=row["max_members"]),
        member_count=row["member_count"],
        join_code=code,
        referral_code=code,
        is_member=row["is_member"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def room_message_of(context: Context, row: Row) -> RoomMessage:
    return RoomMessage(
        id=row["id"],
        room_id=row["room_id"],
        seq=row["seq"],
        author=author_of(context, row),
        content=row["content"],
        created_at=row["created_at"],
    )


async def find_room(source: Database | Connection, viewer: UUID, room_id: UUID) -> Row | None:
    """The room as the viewer sees it, whether or not they may."""
    query = ROOM + " WHERE r.id = $2"
    if isinstance(source, Database):
        return await source.row(query, viewer, room_id)
    row: Row | None = await source.fetchrow(query, viewer, room_id)
    return row


async def require_member(database: Database, viewer: UUID, room_id: UUID) -> Row:
    """NOT_FOUND without such a room, FORBIDDEN for people who are not in it."""
    row = await find_room(database, viewer, room_id)
    if row is None:
        raise not_found("No such room")
    if not row["is_member"]:
        raise ApiError("FORBIDDEN", "Only members can see this")
    return row


def new_join_code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(8))
