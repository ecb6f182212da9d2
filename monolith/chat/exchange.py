"""One exchange: what is asked in which conversation, what it costs, and how it is stored."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from monolith import quotas
from monolith.calls import Call
from monolith.chat.models import TITLE_MAX
from monolith.chat.rows import find_conversation
from monolith.database import Row
from monolith.errors import ApiError, invalid_field
from monolith.gates import effective_tier, insufficient_tier
from monolith.providers.interfaces import (
    PREMIUM,
    Prompt,
    Speaker,
    Turn,
    estimate_tokens,
)

# Context kept for the model, in tokens, by tier (contract, 5.1).
CONTEXT_TOKENS = {0: 12_000, 1: 64_000, 2: 64_000}
HISTORY_ROWS_MAX = 2000
Form = Literal["single", "group"]


@dataclass(frozen=True, slots=True)
class Place:
    """The conversation in which something is said; is_new = it exists once the reply does."""

    id: UUID
    is_new: bool
    form: Form
    title: str
    speakers: tuple[Speaker, ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """Everything that storing needs to know, fixed before the provider is called."""

    user_id: UUID
    request_id: str
    place: Place
    prompt: Prompt
    user_message_id: UUID
    reply_ids: tuple[UUID, ...]  # one per speaker
    reservation: quotas.Reservation
    message_type: Literal["text", "image"] = "text"
    media_id: UUID | None = None

    @property
    def model_class(self) -> str:
        return model_class(self.prompt.model)


@dataclass(slots=True)
class Replies:
    """What the speakers said so far, in speaking order."""

    texts: list[str] = field(default_factory=list)
    truncated: bool = False

    def add(self, speaker: int, text: str) -> bool:
        """Append a piece; True if the speaker has just begun."""
        begun = speaker >= len(self.texts)
        while speaker >= len(self.texts):
            self.texts.append("")
        self.texts[speaker] += text
        return begun


def model_class(model: str) -> str:
    return "premium" if model in PREMIUM else "standard"


def new_place(
    character: str | None, series: str | None, field_path: str = "body.character"
) -> Place:
    """A single conversation that will be opened with the reply."""
    if character is None:
        raise invalid_field(field_path, "is needed without conversation_id")
    speakers = (Speaker(character, series or ""),)
    return Place(uuid.uuid4(), True, "single", character[:TITLE_MAX], speakers)


async def known_place(call: Call, conversation_id: UUID, form: Form | None) -> Place:
    """The caller's conversation; CONFLICT if it is not of the form the route is for."""
    row = await find_conversation(call.context.database, call.user_id, conversation_id)
    if form is not None and row["conversation_type"] != form:
        raise ApiError("CONFLICT", f"This conversation is not a {form} one")
    return Place(row["id"], False, row["conversation_type"], row["title"], _speakers(row))


def _speakers(row: Row) -> tuple[Speaker, ...]:
    if row["conversation_type"] == "single":
        return (Speaker(row["character_name"], row["character_series"]),)
    return tuple(Speaker(p["name"], p.get("series") or "") for p in row["participants"])


async def tier_for(call: Call, model: str) -> int:
    """The caller's tier, read now; INSUFFICIENT_TIER if the model needs a higher one."""
    tier = await effective_tier(call.context, call.user_id)
    if model in PREMIUM and tier < 1:
        raise insufficient_tier(tier, 1)
    return tier


async def build_prompt(
    call: Call, place: Place, model: str, message: str, tier: int, *, streamed: bool
) -> Prompt:
    """The newest messages that fit the tier's context, oldest first."""
    turns: list[Turn] = []
    if not place.is_new:
        budget = CONTEXT_TOKENS[tier] - estimate_tokens(message)
        rows = await call.context.database.fetch(
            "SELECT sender, content FROM messages WHERE conversation_id = $1"
            " ORDER BY seq DESC LIMIT $2",
            place.id,
            HISTORY_ROWS_MAX,
        )
        turns = fitting([Turn(row["sender"], row["content"]) for row in rows], budget)
    return Prompt(model, place.speakers, tuple(turns), message, streamed)


def fitting(newest_first: Sequence[Turn], budget_tokens: int) -> list[Turn]:
    """As many of the newest turns as the budget holds, oldest first."""
    kept: list[Turn] = []
    for turn in newest_first:
        budget_tokens -= estimate_tokens(turn.content)
        if budget_tokens < 0:
            break
        kept.append(turn)
    return kept[::-1]


async def reserve(call: Call, place: Place, model: str) -> quotas.Reservation:
    """A chat unit for the conversation's day, or one premium message."""
    if model in PREMIUM:
        return await quotas.reserve(call, "premium_model", 1)
    return await quotas.reserve(call, "chat", 1, place.id)


def new_exchange(
    call: Call,
    place: Place,
    prompt: Prompt,
    reservation: quotas.Reservation,
    message_type: Literal["text", "image"] = "text",
    media_id: UUID | None = None,
) -> Exchange:
    return Exchange(
        call.user_id,
        call.request_id,
        place,
        prompt,
        uuid.uuid4(),
        tuple(uuid.uuid4() for _ in place.speakers),
        reservation,
        message_type,
        media_id,
    )
