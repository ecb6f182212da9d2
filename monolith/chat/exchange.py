"""One exchange: what is asked in which conversation, what it costs, and how it is stored."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from monolith import quotas
from monolith.calls import Call
from monolith.chat.models import TITLE_MAX, ChatReply, GroupReply, GroupResponse
from monolith.chat.rows import announce_conversation, find_conversation
from monolith.context import Context
from monolith.database import Connection, Row, emit, one
from monolith.errors import ApiError, invalid_field, not_found
from monolith.gates import effective_tier, insufficient_tier
from monolith.providers.interfaces import (
    PREMIUM,
    Prompt,
    Speaker,
    Turn,
    estimate_tokens,
)

# Context kept for the model, in tokens, by tier (api.md 5.1).
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


def tokens_of(exchange: Exchange, replies: Replies) -> int:
    return estimate_tokens(exchange.prompt.message, *replies.texts)


async def store(
    connection: Connection, exchange: Exchange, replies: Replies, *, streamed: bool
) -> datetime:
    """Message, replies, counts, charge and event in one transaction; returns its time."""
    place = exchange.place
    first_seq = await _open(connection, exchange) + 1
    tokens = tokens_of(exchange, replies)
    rows = [_user_row(exchange, first_seq), *_reply_rows(exchange, replies, first_seq + 1)]
    await connection.executemany(
        "INSERT INTO messages (id, conversation_id, seq, role, sender, content, message_type,"
        " media_id, model, tokens, truncated, reservation_id)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        rows,
    )
    stored_at: datetime = await connection.fetchval(
        "UPDATE conversations SET last_seq = last_seq + $2, message_count = message_count + $2,"
        " token_count = token_count + $3, last_message_at = now() WHERE id = $1"
        " RETURNING last_message_at",
        place.id,
        len(rows),
        tokens,
    )
    await quotas.settle(connection, exchange.reservation.id, tokens)
    await _announce(connection, exchange, replies, streamed=streamed)
    return stored_at


async def _open(connection: Connection, exchange: Exchange) -> int:
    """Lock the conversation, or make it; returns its last seq."""
    place = exchange.place
    gone = await connection.fetchval(
        "SELECT deleted_at IS NOT NULL FROM users WHERE id = $1", exchange.user_id
    )
    if gone:
        raise ApiError("ACCOUNT_DELETED", "This account was deleted")
    if place.is_new:
        speaker = place.speakers[0]
        row = await one(
            connection,
            "INSERT INTO conversations (id, user_id, conversation_type, title, character_name,"
            " character_series) VALUES ($1, $2, 'single', $3, $4, $5) RETURNING *",
            place.id,
            exchange.user_id,
            place.title,
            speaker.name,
            speaker.series,
        )
        await announce_conversation(connection, row, exchange.request_id)
        return 0
    last_seq = await connection.fetchval(
        "SELECT last_seq FROM conversations WHERE id = $1 AND user_id = $2 FOR UPDATE",
        place.id,
        exchange.user_id,
    )
    if last_seq is None:
        raise not_found("The conversation was deleted")
    return int(last_seq)


def _user_row(exchange: Exchange, seq: int) -> tuple[object, ...]:
    return (
        exchange.user_message_id,
        exchange.place.id,
        seq,
        "user",
        "user",
        exchange.prompt.message,
        exchange.message_type,
        exchange.media_id,
        None,
        None,
        False,
        exchange.reservation.id,
    )


def _reply_rows(exchange: Exchange, replies: Replies, seq: int) -> list[tuple[object, ...]]:
    last = len(replies.texts) - 1
    rows: list[tuple[object, ...]] = []
    for position, text in enumerate(replies.texts):
        alone = len(replies.texts) == 1
        tokens = tokens_of(exchange, replies) if alone else estimate_tokens(text)
        rows.append(
            (
                exchange.reply_ids[position],
                exchange.place.id,
                seq + position,
                "assistant",
                exchange.place.speakers[position].name,
                text,
                "text",
                None,
                exchange.prompt.model,
                tokens,
                replies.truncated and position == last,
                exchange.reservation.id,
            )
        )
    return rows


async def _announce(
    connection: Connection, exchange: Exchange, replies: Replies, *, streamed: bool
) -> None:
    place = exchange.place
    data = {
        "conversation_id": str(place.id),
        "conversation_type": place.form,
        "user_message_id": str(exchange.user_message_id),
        "message_ids": [str(i) for i in exchange.reply_ids[: len(replies.texts)]],
        "character": place.speakers[0].name if place.form == "single" else place.title,
        "model": exchange.prompt.model,
        "model_class": exchange.model_class,
        "quota_type": exchange.reservation.quota_type,
        "reservation_id": str(exchange.reservation.id),
        "tokens": tokens_of(exchange, replies),
        "streamed": streamed,
        "truncated": replies.truncated,
    }
    await emit(connection, "message.sent", exchange.user_id, data, "chat", exchange.request_id)


def answer(
    exchange: Exchange, replies: Replies, follow_ups: list[str], stored_at: datetime
) -> ChatReply | GroupReply:
    """The JSON of the non-streaming route, also the data of a stream's `done`."""
    tokens = tokens_of(exchange, replies)
    if exchange.place.form == "group":
        return GroupReply(
            conversation_id=exchange.place.id,
            user_message_id=exchange.user_message_id,
            responses=[
                GroupResponse(message_id=message_id, character=speaker.name, response=text)
                for message_id, speaker, text in zip(
                    exchange.reply_ids, exchange.place.speakers, replies.texts, strict=False
                )
            ],
            remaining_quota=exchange.reservation.remaining,
            follow_up_questions=follow_ups,
            model=exchange.prompt.model,
            tokens=tokens,
            created_at=stored_at,
        )
    return ChatReply(
        response=replies.texts[0],
        conversation_id=exchange.place.id,
        message_id=exchange.reply_ids[0],
        user_message_id=exchange.user_message_id,
        remaining_quota=exchange.reservation.remaining,
        follow_up_questions=follow_ups,
        model=exchange.prompt.model,
        tokens=tokens,
        created_at=stored_at,
    )


async def store_now(
    context: Context, exchange: Exchange, replies: Replies, *, streamed: bool
) -> datetime:
    async with context.database.transaction() as connection:
        return await store(connection, exchange, replies, streamed=streamed)
