"""Rows of conversations and messages as wire objects; no SQL, no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import asyncpg

from services.chat.models.exchange import Place
from services.chat.models.prompts import Speaker
from shared.contract.chat import Conversation, Message, MessageMetadata, Participant

Row = asyncpg.Record | Mapping[str, Any]


def conversation_of(row: Row) -> Conversation:
    fields = dict(row)
    fields["participants"] = tuple(
        Participant(name=one.get("name", ""), series=one.get("series") or "")
        for one in json.loads(row["participants"])
    )
    return Conversation(**fields)


def message_of(row: Row) -> Message:
    fields = dict(row)
    metadata = MessageMetadata(
        model=fields.pop("model"), tokens=fields.pop("tokens"), truncated=fields.pop("truncated")
    )
    return Message(**fields, metadata=metadata)


def place_of(conversation: Conversation) -> Place:
    """The conversation as the place of the next exchange."""
    if conversation.conversation_type == "single":
        speakers: tuple[Speaker, ...] = (
            Speaker(conversation.character_name or "", conversation.character_series),
        )
    else:
        speakers = tuple(Speaker(one.name, one.series) for one in conversation.participants)
    return Place(
        conversation.id, False, conversation.conversation_type, conversation.title, speakers
    )
