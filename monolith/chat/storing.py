"""Stores a finished exchange: messages, counts, charge and event in one transaction; and its answer."""

from __future__ import annotations

from datetime import datetime

from monolith import quotas
from monolith.chat.exchange import Exchange, Replies
from monolith.chat.models import ChatReply, GroupReply, GroupResponse
from monolith.chat.rows import announce_conversation
from monolith.context import Context
from monolith.database import Connection, emit, one
from monolith.errors import ApiError, not_found
from monolith.providers.interfaces import estimate_tokens


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
