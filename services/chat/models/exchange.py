"""One exchange: where something is said, by whom, what it costs, and what was answered; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from services.chat.models.prompts import Prompt, Speaker, estimate_tokens
from shared.contract.chat import (
    PREMIUM_MODELS,
    ChatReply,
    ConversationType,
    GroupReply,
    GroupResponse,
)
from shared.quota.charges import Charge
from shared.quota.wire import shown

TITLE_MAX = 120
QuotaType = Literal["chat", "premium_model", "image_recognition"]


@dataclass(frozen=True, slots=True)
class Place:
    """The conversation in which something is said; is_new = it exists once the reply does."""

    id: UUID
    is_new: bool
    form: ConversationType
    title: str
    speakers: tuple[Speaker, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that came with a message, and where its bytes were put."""

    media_id: UUID
    storage_key: str
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """Everything that storing needs to know, fixed before the provider is called."""

    user_id: UUID
    place: Place
    prompt: Prompt
    reservation_id: UUID
    quota_type: str
    remaining: int | None
    picture: Picture | None = None
    user_message_id: UUID = field(default_factory=uuid4)
    reply_ids: tuple[UUID, ...] = ()  # one per speaker

    @property
    def model_class(self) -> str:
        return "premium" if self.prompt.model in PREMIUM_MODELS else "standard"


@dataclass(slots=True)
class Replies:
    """What the speakers said so far, in speaking order."""

    texts: list[str] = field(default_factory=list)
    is_truncated: bool = False

    def add(self, speaker: int, text: str) -> bool:
        """Append a piece; True if the speaker has just begun."""
        begun = speaker >= len(self.texts)
        while speaker >= len(self.texts):
            self.texts.append("")
        self.texts[speaker] += text
        return begun


def new_place(character: str, series: str) -> Place:
    """A single conversation that will be opened with the reply."""
    speakers = (Speaker(character, series),)
    return Place(uuid4(), True, "single", character[:TITLE_MAX], speakers)


def new_exchange(
    user_id: UUID, place: Place, prompt: Prompt, charge: Charge, picture: Picture | None = None
) -> Exchange:
    """The exchange that a held charge pays for."""
    return Exchange(
        user_id,
        place,
        prompt,
        charge.reservation_id,
        charge.quota_type,
        charge.remaining,
        picture,
        reply_ids=tuple(uuid4() for _ in place.speakers),
    )


def group_title(title: str | None, names: Sequence[str]) -> str:
    """The given title, else the names joined; cut to what the column holds."""
    return (title or " & ".join(names))[:TITLE_MAX].strip()


def tokens_of(exchange: Exchange, replies: Replies) -> int:
    """Tokens of the message and all replies (contract, 7)."""
    return estimate_tokens(exchange.prompt.message, *replies.texts)


def answer(
    exchange: Exchange, replies: Replies, follow_ups: Sequence[str], stored_at: datetime
) -> ChatReply | GroupReply:
    """The JSON of the non-streaming route, also the data of a stream's `done`."""
    if exchange.place.form == "group":
        return _group_answer(exchange, replies, follow_ups, stored_at)
    return ChatReply(
        response=replies.texts[0],
        conversation_id=exchange.place.id,
        message_id=exchange.reply_ids[0],
        user_message_id=exchange.user_message_id,
        remaining_quota=shown(exchange.remaining),
        follow_up_questions=tuple(follow_ups),
        model=exchange.prompt.model,
        tokens=tokens_of(exchange, replies),
        created_at=stored_at,
    )


def _group_answer(
    exchange: Exchange, replies: Replies, follow_ups: Sequence[str], stored_at: datetime
) -> GroupReply:
    spoken = zip(exchange.reply_ids, exchange.place.speakers, replies.texts, strict=False)
    return GroupReply(
        conversation_id=exchange.place.id,
        user_message_id=exchange.user_message_id,
        responses=tuple(
            GroupResponse(message_id=message_id, character=speaker.name, response=text)
            for message_id, speaker, text in spoken
        ),
        remaining_quota=shown(exchange.remaining),
        follow_up_questions=tuple(follow_ups),
        model=exchange.prompt.model,
        tokens=tokens_of(exchange, replies),
        created_at=stored_at,
    )
