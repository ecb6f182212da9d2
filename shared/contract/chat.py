"""Wire models of conversations (public contract, 2.0 and 2.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

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

ConversationType = Literal["single", "group"]
Reaction = Literal["like", "dislike"]
ExportFormat = Literal["txt", "json", "pdf"]
SpeechFormat = Literal["mp3", "wav"]
ListOrder = Literal["asc", "desc"]

StandardModel = Literal[
    "claude-3-haiku", "gpt-4o-mini", "gemini-flash", "llama-3-70b", "deepseek-chat"
]
PremiumModel = Literal["claude-3-5-sonnet", "gpt-4o", "gemini-pro"]
ModelName = Literal[StandardModel, PremiumModel]
DEFAULT_MODEL: StandardModel = "claude-3-haiku"
PREMIUM_MODELS: frozenset[str] = frozenset({"claude-3-5-sonnet", "gpt-4o", "gemini-pro"})

MAX_DURATION_MS = 300_000

Said = Annotated[str, Text(1, 4000)]
CharacterName = Annotated[str, Text(1, 120)]
Series = Annotated[str, Text(0, 200)]
DurationMs = Annotated[Integer, Field(ge=1, le=MAX_DURATION_MS)]
Language = Annotated[str, Text(2, 10)]


class Participant(WireModel):
    name: str
    series: str


class Conversation(WireModel):
    id: Id
    conversation_type: ConversationType
    title: str
    character_name: str | None
    character_series: str
    character_id: Id | None
    participants: tuple[Participant, ...]
    message_count: int
    token_count: int
    last_message_at: Timestamp
    created_at: Timestamp
    updated_at: Timestamp


class MessageMetadata(WireModel):
    model: str | None
    tokens: int | None
    truncated: bool


class Message(WireModel):
    id: Id
    conversation_id: Id
    seq: int
    role: Literal["user", "assistant"]
    sender: str  # "user" or the character
    content: str
    message_type: Literal["text", "image", "audio"]
    media_id: Id | None
    pinned: bool
    reaction: Reaction | None
    edited_at: Timestamp | None
    metadata: MessageMetadata
    created_at: Timestamp
    updated_at: Timestamp


class ChatReply(WireModel):
    response: str
    conversation_id: Id
    message_id: Id
    user_message_id: Id
    remaining_quota: int  # -1: unlimited
    follow_up_questions: tuple[str, ...]
    model: str
    tokens: int
    created_at: Timestamp


class GroupResponse(WireModel):
    message_id: Id
    character: str
    response: str


class GroupReply(WireModel):
    conversation_id: Id
    user_message_id: Id
    responses: tuple[GroupResponse, ...]
    remaining_quota: int  # -1: unlimited
    follow_up_questions: tuple[str, ...]
    model: str
    tokens: int
    created_at: Timestamp


class ImageReply(ChatReply):
    media_id: Id
    description: str


class StreamStart(WireModel):
    """Data of the event `start`."""

    conversation_id: Id
    user_message_id: Id
    model: str


class StreamSpeaker(WireModel):
    """Data of the event `speaker`."""

    message_id: Id
    character: str


class StreamDelta(WireModel):
    """Data of the event `delta`; joined deltas are the reply, exactly."""

    text: str


ConversationPage = Page[Conversation]


class MessagePage(Page[Message]):
    conversation: Conversation


class Export(WireModel):
    """The JSON form of an exported conversation."""

    conversation: Conversation
    messages: tuple[Message, ...]


class Transcript(WireModel):
    text: str
    language: str
    duration_ms: int
    remaining_quota: int


class Talk(RequestModel):
    message: Said
    character: CharacterName | None = None
    series: Series = ""
    conversation_id: Id | None = None
    model: ModelName = DEFAULT_MODEL


class GroupTalk(RequestModel):
    message: Said
    model: ModelName = DEFAULT_MODEL


class NewParticipant(RequestModel):
    name: CharacterName
    series: Series = ""


def _distinct(participants: tuple[NewParticipant, ...]) -> tuple[NewParticipant, ...]:
    if len({participant.name for participant in participants}) < len(participants):
        raise ValueError("must have distinct names")
    return participants


class CreateGroup(RequestModel):
    participants: Annotated[
        tuple[NewParticipant, ...], Items(min_length=2, max_length=6), AfterValidator(_distinct)
    ]
    title: Annotated[str, Text(0, 120)] | None = None


class EditMessage(ChangeModel):
    content: Said


class Pin(RequestModel):
    pinned: bool = True


class React(RequestModel):
    reaction_type: Reaction | None = None  # null takes the reaction back


class Speak(RequestModel):
    text: Said
    voice: Annotated[str, Text(0, 50)] = "default"
    format: SpeechFormat = "mp3"
