"""JSON of rooms (contract, 2.0 and 2.6)."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from monolith.community.story_models import Author, Universe
from monolith.pages import PageQuery
from monolith.values import Integer, Timestamp, Trimmed, Wire

MEMBERS_DEFAULT = 50


class RoomSettings(Wire):
    is_public: bool
    max_members: int


class Room(Wire):
    id: UUID
    name: str
    description: str
    universe: str
    creator: Author
    settings: RoomSettings
    member_count: int
    join_code: str | None
    referral_code: str | None
    is_member: bool
    created_at: Timestamp
    updated_at: Timestamp


class RoomPage(Wire):
    items: list[Room]
    next_cursor: str | None
    has_more: bool


class Member(Wire):
    user: Author
    role: Literal["owner", "member"]
    joined_at: Timestamp


class MemberPage(Wire):
    items: list[Member]
    next_cursor: str | None
    has_more: bool


class RoomMessage(Wire):
    id: UUID
    room_id: UUID
    seq: int
    author: Author
    content: str
    created_at: Timestamp


class RoomMessagePage(Wire):
    items: list[RoomMessage]
    next_cursor: str | None
    has_more: bool


class RoomSettingsIn(Wire):
    is_public: bool | None = None
    max_members: Annotated[Integer, Field(ge=2, le=200)] | None = None


class RoomIn(Wire):
    name: Annotated[Trimmed, Field(min_length=1, max_length=80)]
    description: Annotated[Trimmed, Field(max_length=1000)] | None = None
    universe: Universe | None = None
    settings: RoomSettingsIn | None = None


JoinCode = Annotated[Trimmed, Field(pattern=r"^[A-Za-z2-7]{8}$"), AfterValidator(str.upper)]


class JoinIn(Wire):
    code: JoinCode


class RoomQuery(PageQuery):
    scope: Literal["mine", "public"] = "mine"


class RoomMessageQuery(PageQuery):
    order: Literal["asc", "desc"] = "desc"
