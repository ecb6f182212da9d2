"""Wire models of stories, rooms, scenarios and votes (public contract, 1.14, 2.0 and 2.6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from shared.contract.auth import Author
from shared.contract.page import Page
from shared.contract.values import (
    ChangeModel,
    Id,
    Integer,
    Items,
    RequestModel,
    Text,
    Timestamp,
    WireModel,
)

VoteTarget = Literal["story", "scenario", "character", "room"]
StorySort = Literal["new", "top"]
RoomScope = Literal["mine", "public"]
ScenarioScope = Literal["public", "mine"]
RoomRole = Literal["owner", "member"]

EXCERPT_LENGTH = 280  # code points of a story that its list shows

CharacterName = Annotated[str, Text(1, 120)]
StoryCharacters = Annotated[tuple[CharacterName, ...], Items(min_length=1, max_length=5)]
StoryTitle = Annotated[str, Text(1, 200)]
StoryContent = Annotated[str, Text(1, 50_000)]
Universe = Annotated[str, Text(0, 200)]
JoinCode = Annotated[str, Text(8, 8, pattern=r"^[A-Za-z2-7]{8}$"), AfterValidator(str.upper)]


class StoryScenario(WireModel):
    setting: str
    tone: str
    themes: tuple[str, ...]


class _StoryFacts(WireModel):
    id: Id
    author: Author
    conversation_id: Id | None
    title: str
    universe: str
    characters: tuple[str, ...]
    published: bool
    published_at: Timestamp | None
    view_count: int
    like_count: int
    liked_by_me: bool
    created_at: Timestamp
    updated_at: Timestamp


class Story(_StoryFacts):
    content: str
    scenario: StoryScenario


class StoryDrafted(Story):
    remaining_quota: int


class StoryItem(_StoryFacts):
    """A story in a list."""

    excerpt: str


class StoryLiked(WireModel):
    story_id: Id
    liked: bool
    like_count: int


class RoomSettings(WireModel):
    is_public: bool
    max_members: int


class Room(WireModel):
    """A room; `join_code` and its old name `referral_code` are null for people who are no members."""

    id: Id
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


class RoomMember(WireModel):
    user: Author
    role: RoomRole
    joined_at: Timestamp


class RoomMessage(WireModel):
    id: Id
    room_id: Id
    seq: int
    author: Author
    content: str
    created_at: Timestamp


class Scenario(WireModel):
    id: Id
    creator: Author
    title: str
    description: str
    characters: tuple[str, ...]
    setting: str
    tone: str
    is_public: bool
    rating: float | None
    view_count: int
    use_count: int
    created_at: Timestamp
    updated_at: Timestamp


class CommunityCharacter(WireModel):
    id: Id
    creator: Author
    name: str
    universe: str
    description: str
    personality: str
    image_url: str | None
    published: bool
    created_at: Timestamp
    updated_at: Timestamp


class VoteResult(WireModel):
    target_type: VoteTarget
    target_id: Id
    value: int
    score: int
    up: int
    down: int


class Notification(WireModel):
    id: Id
    kind: str
    title: str
    body: str
    data: dict[str, Any]
    read: bool
    created_at: Timestamp


class NotificationPage(Page[Notification]):
    unread_count: int


class NotificationsRead(WireModel):
    updated: int
    unread_count: int


StoryPage = Page[StoryItem]
RoomPage = Page[Room]
RoomMemberPage = Page[RoomMember]
RoomMessagePage = Page[RoomMessage]
ScenarioPage = Page[Scenario]


class NewStoryScenario(RequestModel):
    setting: Annotated[str, Text(0, 500)] = ""
    tone: Annotated[str, Text(0, 100)] = ""
    themes: Annotated[tuple[Annotated[str, Text(1, 50)], ...], Items(max_length=5)] = ()


class DraftStory(RequestModel):
    """With `content` it is stored as it stands and needs a title; without, the model writes it."""

    characters: StoryCharacters
    universe: Universe = ""
    scenario: NewStoryScenario = NewStoryScenario()
    conversation_id: Id | None = None
    content: StoryContent | None = None
    title: StoryTitle | None = Field(default=None, validate_default=True)

    @field_validator("title")
    @classmethod
    def _needed_with_content(cls, title: str | None, info: ValidationInfo) -> str | None:
        if title is None and info.data.get("content") is not None:
            raise ValueError("is needed with content")
        return title


class UpdateStory(ChangeModel):
    """A left-out field stays as it is."""

    title: StoryTitle = ""
    content: StoryContent = ""
    universe: Universe = ""
    characters: StoryCharacters = ()
    scenario: NewStoryScenario = NewStoryScenario()


class LikeStory(RequestModel):
    liked: bool = True


class NewRoomSettings(RequestModel):
    is_public: bool = False
    max_members: Annotated[Integer, Field(ge=2, le=200)] = 50


class CreateRoom(RequestModel):
    name: Annotated[str, Text(1, 80)]
    description: Annotated[str, Text(0, 1000)] = ""
    universe: Universe = ""
    settings: NewRoomSettings = NewRoomSettings()


class JoinRoom(RequestModel):
    code: JoinCode


class CreateScenario(RequestModel):
    title: Annotated[str, Text(1, 200)]
    description: Annotated[str, Text(0, 4000)] = ""
    characters: Annotated[tuple[CharacterName, ...], Items(max_length=10)] = ()
    setting: Annotated[str, Text(0, 500)] = ""
    tone: Annotated[str, Text(0, 100)] = ""
    is_public: bool = False


class Vote(RequestModel):
    target_type: VoteTarget
    target_id: Id
    value: Annotated[Integer, Field(ge=-1, le=1)]


class CreateCharacter(RequestModel):
    name: CharacterName
    universe: Universe = ""
    description: Annotated[str, Text(0, 4000)] = ""
    personality: Annotated[str, Text(0, 4000)] = ""
    image_media_id: Id | None = None
    publish: bool = False


class ReadNotifications(RequestModel):
    """Exactly one of `ids` and `all` = true."""

    ids: Annotated[tuple[Id, ...], Items(min_length=1, max_length=100)] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _exactly_one(self) -> ReadNotifications:
        if (self.ids is None) == (not self.all):
            raise ValueError("exactly one of ids and all is needed")
        return self
