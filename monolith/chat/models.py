"""JSON of the chat routes (contract, 2.0 and 2.2)."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, field_validator

from monolith.pages import PageQuery
from monolith.providers.interfaces import DEFAULT_MODEL, ModelName
from monolith.values import Identifier, Integer, Timestamp, Trimmed, Wire

ConversationType = Literal["single", "group"]
Said = Annotated[Trimmed, Field(min_length=1, max_length=4000)]
CharacterName = Annotated[Trimmed, Field(min_length=1, max_length=120)]
Series = Annotated[Trimmed, Field(max_length=200)]
TITLE_MAX = 120
DURATION_MS_MAX = 300_000


class Participant(Wire):
    name: str
    series: str


class Conversation(Wire):
    id: UUID
    conversation_type: ConversationType
    title: str
    character_name: str | None
    character_series: str
    character_id: UUID | None
    participants: list[Participant]
    message_count: int
    token_count: int
    last_message_at: Timestamp
    created_at: Timestamp
    updated_at: Timestamp


class MessageMetadata(Wire):
    model: str | None
    tokens: int | None
    truncated: bool


class Message(Wire):
    id: UUID
    conversation_id: UUID
    seq: int
    role: Literal["user", "assistant"]
    sender: str
    content: str
    message_type: Literal["text", "image", "audio"]
    media_id: UUID | None
    pinned: bool
    reaction: Literal["like", "dislike"] | None
    edited_at: Timestamp | None
    metadata: MessageMetadata
    created_at: Timestamp
    updated_at: Timestamp


class ChatReply(Wire):
    response: str
    conversation_id: UUID
    message_id: UUID
    user_message_id: UUID
    remaining_quota: int
    follow_up_questions: list[str]
    model: str
    tokens: int
    created_at: Timestamp


class GroupResponse(Wire):
    message_id: UUID
    character: str
    response: str


class GroupReply(Wire):
    conversation_id: UUID
    user_message_id: UUID
    responses: list[GroupResponse]
    remaining_quota: int
    follow_up_questions: list[str]
    model: str
    tokens: int
    created_at: Timestamp


class ImageReply(ChatReply):
    media_id: UUID
    description: str


class ConversationPage(Wire):
    items: list[Conversation]
    next_cursor: str | None
    has_more: bool


class MessagePage(Wire):
    items: list[Message]
    next_cursor: str | None
    has_more: bool
    conversation: Conversation


class ExportDocument(Wire):
    conversation: Conversation
    messages: list[Message]


class TranscribeOut(Wire):
    text: str
    language: str
    duration_ms: int
    remaining_quota: int


class TalkIn(Wire):
    message: Said
    character: CharacterName | None = None
    series: Series | None = None
    conversation_id: Identifier | None = None
    model: ModelName | None = None

    @property
    def model_name(self) -> ModelName:
        return self.model or DEFAULT_MODEL


class GroupTalkIn(Wire):
    message: Said
    model: ModelName | None = None


class ParticipantIn(Wire):
    name: CharacterName
    series: Series | None = None


class GroupCreateIn(Wire):
    participants: Annotated[list[ParticipantIn], Field(min_length=2, max_length=6)]
    title: Annotated[Trimmed, Field(max_length=TITLE_MAX)] | None = None

    @field_validator("participants")
    @classmethod
    def _distinct(cls, participants: list[ParticipantIn]) -> list[ParticipantIn]:
        if len({participant.name for participant in participants}) < len(participants):
            raise ValueError("must have distinct names")
        return participants


class EditIn(Wire):
    content: Said


class PinIn(Wire):
    pinned: bool | None = None


class ReactionIn(Wire):
    reaction_type: Literal["like", "dislike"] | None = None  # null takes it back


class SpeakIn(Wire):
    text: Said
    voice: Annotated[Trimmed, Field(max_length=50)] | None = None
    format: Literal["mp3", "wav"] | None = None


class ConversationQuery(PageQuery):
    type: ConversationType | None = None
    character: Trimmed | None = None


class HistoryQuery(PageQuery):
    order: Literal["asc", "desc"] = "desc"
    pinned: bool = False


class ExportQuery(Wire):
    format: Literal["txt", "json", "pdf"] = "txt"


Duration = Annotated[Integer, Field(ge=1, le=DURATION_MS_MAX)]
Language = Annotated[Trimmed, Field(min_length=2, max_length=10)]
