"""Stores a finished exchange: messages, counts, charge and events in one transaction."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.chat.models.exchange import Exchange, Replies, tokens_of
from services.chat.models.prompts import estimate_tokens
from services.chat.models.rows import conversation_of
from services.chat.repository.conversations import announce
from shared.errors import CallerError, Code, not_found
from shared.events.envelope import Event, new_event
from shared.events.outbox import add
from shared.placement import Database
from shared.placement.connection import Connection
from shared.quota import Charge, Quotas

_INSERT_CONVERSATION = """
INSERT INTO conversations
  (id, user_id, conversation_type, title, character_name, character_series)
VALUES ($1, $2, 'single', $3, $4, $5)
RETURNING id, conversation_type, title, character_name, character_series, character_id,
 participants, message_count, token_count, last_message_at, created_at, updated_at"""
_LOCK = "SELECT last_seq FROM conversations WHERE id = $1 AND user_id = $2 FOR UPDATE"
_INSERT_MESSAGES = """
INSERT INTO messages (id, conversation_id, seq, role, sender, content, message_type, media_id,
 model, tokens, truncated, reservation_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
_COUNT = """
UPDATE conversations SET last_seq = last_seq + $2, message_count = message_count + $2,
 token_count = token_count + $3, last_message_at = now() WHERE id = $1
RETURNING last_message_at"""
_IS_DELETED = "SELECT deleted_at IS NOT NULL FROM users WHERE id = $1"


class ExchangeRepository:
    """Writes exchanges to the database that owns the conversations now."""

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas

    async def store(
        self, exchange: Exchange, replies: Replies, charge: Charge, *, is_streamed: bool
    ) -> datetime:
        """Store everything; returns the time of the transaction.

        The charge is settled in the same transaction where that is in the same database; else it
        is kept, to be settled right after. Raises NOT_FOUND and ACCOUNT_DELETED.
        """
        tokens = tokens_of(exchange, replies)

        async def store(connection: Connection) -> tuple[datetime, bool]:
            stored_at = await self._write(connection, exchange, replies, tokens)
            is_shared = self._database.side(connection) == "shared"
            if is_shared:
                await self._quotas.settle(exchange.reservation_id, tokens, connection=connection)
            await add(connection, *_events(exchange, replies, tokens, is_streamed=is_streamed))
            # Last, so that whoever is erased meanwhile leaves no row behind.
            if await self._is_deleted(exchange.user_id):
                raise _account_deleted()
            return stored_at, is_shared

        stored_at, is_settled = await self._database.transaction(store)
        charge.keep(tokens)
        if is_settled:
            charge.closed()
        return stored_at

    async def _write(
        self, connection: Connection, exchange: Exchange, replies: Replies, tokens: int
    ) -> datetime:
        first_seq = await self._open(connection, exchange) + 1
        rows = [_user_row(exchange, first_seq), *_reply_rows(exchange, replies, first_seq + 1)]
        await connection.executemany(_INSERT_MESSAGES, rows)
        stored_at: datetime = await connection.fetchval(
            _COUNT, exchange.place.id, len(rows), tokens
        )
        return stored_at

    async def _open(self, connection: Connection, exchange: Exchange) -> int:
        """Lock the conversation, or make it; returns its last seq."""
        place = exchange.place
        if place.is_new:
            speaker = place.speakers[0]
            row = await connection.fetchrow(
                _INSERT_CONVERSATION,
                place.id,
                exchange.user_id,
                place.title,
                speaker.name,
                speaker.series,
            )
            assert row is not None  # noqa: S101 - INSERT … RETURNING gives its row
            await announce(connection, exchange.user_id, conversation_of(row))
            return 0
        last_seq: int | None = await connection.fetchval(_LOCK, place.id, exchange.user_id)
        if last_seq is None:
            deleted = await self._is_deleted(exchange.user_id)
            raise _account_deleted() if deleted else not_found("conversation")
        return last_seq

    async def _is_deleted(self, user_id: UUID) -> bool:
        return bool(await self._database.shared.fetchval(_IS_DELETED, user_id))


def _account_deleted() -> CallerError:
    return CallerError(Code.ACCOUNT_DELETED, "This account was deleted")


def _user_row(exchange: Exchange, seq: int) -> tuple[object, ...]:
    picture = exchange.picture
    return (
        exchange.user_message_id,
        exchange.place.id,
        seq,
        "user",
        "user",
        exchange.prompt.message,
        "text" if picture is None else "image",
        None if picture is None else picture.media_id,
        None,
        None,
        False,
        exchange.reservation_id,
    )


def _reply_rows(exchange: Exchange, replies: Replies, seq: int) -> list[tuple[object, ...]]:
    last = len(replies.texts) - 1
    return [
        (
            exchange.reply_ids[place],
            exchange.place.id,
            seq + place,
            "assistant",
            exchange.place.speakers[place].name,
            text,
            "text",
            None,
            exchange.prompt.model,
            estimate_tokens(text) if last else tokens_of(exchange, replies),
            replies.is_truncated and place == last,
            exchange.reservation_id,
        )
        for place, text in enumerate(replies.texts)
    ]


def _events(exchange: Exchange, replies: Replies, tokens: int, *, is_streamed: bool) -> list[Event]:
    place, picture = exchange.place, exchange.picture
    sent = {
        "conversation_id": place.id,
        "conversation_type": place.form,
        "user_message_id": exchange.user_message_id,
        "message_ids": exchange.reply_ids[: len(replies.texts)],
        "character": place.speakers[0].name if place.form == "single" else place.title,
        "model": exchange.prompt.model,
        "model_class": exchange.model_class,
        "quota_type": exchange.quota_type,
        "reservation_id": exchange.reservation_id,
        "tokens": tokens,
        "streamed": is_streamed,
        "truncated": replies.is_truncated,
    }
    user_id = exchange.user_id
    events = [new_event("message.sent", source="chat", subject=user_id, data=sent)]
    if picture is not None:
        seen = {
            "media_id": picture.media_id,
            "storage_key": picture.storage_key,
            "content_type": picture.content_type,
            "bytes": picture.bytes,
            "width": picture.width,
            "height": picture.height,
            "sha256": picture.sha256,
        }
        events.append(new_event("chat.image_received", source="chat", subject=user_id, data=seen))
    return events
