"""Rows of conversations and messages as the objects of the contract; every read checks the owner."""

from __future__ import annotations

from uuid import UUID

from monolith.chat.models import Conversation, Message, MessageMetadata, Participant
from monolith.database import Connection, Database, Row, emit
from monolith.errors import not_found

CONVERSATION = """SELECT id, conversation_type, title, character_name, character_series,
  character_id, participants, message_count, token_count, last_message_at, created_at, updated_at
  FROM conversations"""
# $1 is always the viewer, whose reaction shows.
MESSAGE = """SELECT m.id, m.conversation_id, m.seq, m.role, m.sender, m.content, m.message_type,
  m.media_id, m.pinned, m.edited_at, m.model, m.tokens, m.truncated, m.created_at, m.updated_at,
  r.reaction_type AS reaction
  FROM messages m JOIN conversations c ON c.id = m.conversation_id
  LEFT JOIN message_reactions r ON r.message_id = m.id AND r.user_id = $1
  WHERE c.user_id = $1"""


def conversation_of(row: Row) -> Conversation:
    fields = dict(row)
    fields["participants"] = [
        Participant(name=p.get("name", ""), series=p.get("series") or "")
        for p in fields["participants"]
    ]
    return Conversation(**fields)


def message_of(row: Row) -> Message:
    fields = dict(row)
    metadata = MessageMetadata(
        model=fields.pop("model"), tokens=fields.pop("tokens"), truncated=fields.pop("truncated")
    )
    return Message(**fields, metadata=metadata)


async def find_conversation(database: Database, user_id: UUID, conversation_id: UUID) -> Row:
    """The caller's own conversation, or NOT_FOUND."""
    row = await database.row(
        CONVERSATION + " WHERE id = $1 AND user_id = $2", conversation_id, user_id
    )
    if row is None:
        raise not_found("No such conversation")
    return row


async def find_message(database: Database, user_id: UUID, message_id: UUID) -> Row:
    """A message in one of the caller's own conversations, or NOT_FOUND."""
    row = await database.row(MESSAGE + " AND m.id = $2", user_id, message_id)
    if row is None:
        raise not_found("No such message")
    return row


async def announce_conversation(connection: Connection, row: Row, request_id: str | None) -> None:
    """Publish conversation.created."""
    data = {
        "conversation_id": str(row["id"]),
        "conversation_type": row["conversation_type"],
        "character_name": row["character_name"],
        "character_series": row["character_series"],
        "participants": row["participants"],
    }
    await emit(connection, "conversation.created", row["user_id"], data, "chat", request_id)
