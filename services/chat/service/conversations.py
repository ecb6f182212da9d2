"""Conversations and their messages as their owner sees and changes them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.chat.models.exchange import group_title
from services.chat.providers.interfaces import Moderator
from services.chat.repository.conversations import ConversationRepository, ListFilter
from services.chat.repository.messages import MessageRepository
from shared.contract.chat import (
    Conversation,
    CreateGroup,
    Export,
    ListOrder,
    Message,
    Reaction,
)
from shared.errors import CallerError, Code, not_found


class Conversations:
    """Lists, history, and changes of single messages."""

    def __init__(
        self,
        conversations: ConversationRepository,
        messages: MessageRepository,
        moderator: Moderator,
    ) -> None:
        self._conversations = conversations
        self._messages = messages
        self._moderator = moderator

    async def create_group(self, user_id: UUID, group: CreateGroup) -> Conversation:
        title = group_title(group.title, [one.name for one in group.participants])
        return await self._conversations.create_group(user_id, title, group.participants)

    async def newest(
        self, user_id: UUID, chosen: ListFilter, after: tuple[datetime, UUID] | None, rows: int
    ) -> list[Conversation]:
        return await self._conversations.newest(user_id, chosen, after, rows)

    async def delete(self, user_id: UUID, conversation_id: UUID) -> None:
        if not await self._conversations.delete(user_id, conversation_id):
            raise not_found("conversation")

    async def history(
        self,
        user_id: UUID,
        conversation_id: UUID,
        *,
        order: ListOrder,
        only_pinned: bool,
        after: int | None,
        rows: int,
    ) -> tuple[Conversation, list[Message]]:
        """The conversation and at most `rows` of its messages."""
        conversation = await self._own(user_id, conversation_id)
        messages = await self._messages.page(
            user_id, conversation_id, order=order, only_pinned=only_pinned, after=after, rows=rows
        )
        return conversation, messages

    async def whole(self, user_id: UUID, conversation_id: UUID) -> Export:
        """The conversation with every message, oldest first."""
        conversation = await self._own(user_id, conversation_id)
        messages = await self._messages.every(user_id, conversation_id)
        return Export(conversation=conversation, messages=tuple(messages))

    async def edit(self, user_id: UUID, message_id: UUID, content: str) -> Message:
        """FORBIDDEN for replies, CONTENT_REJECTED by moderation."""
        found = await self._message(user_id, message_id)
        if found.role != "user":
            raise CallerError(Code.FORBIDDEN, "Only own messages can be edited")
        if not await self._moderator.allows(content):
            raise CallerError(Code.CONTENT_REJECTED, "Moderation refused this content")
        await self._messages.edit(message_id, content)
        return await self._message(user_id, message_id)

    async def delete_message(self, user_id: UUID, message_id: UUID) -> None:
        if not await self._messages.delete(user_id, message_id):
            raise not_found("message")

    async def pin(self, user_id: UUID, message_id: UUID, *, pinned: bool) -> Message:
        await self._message(user_id, message_id)
        await self._messages.pin(message_id, pinned=pinned)
        return await self._message(user_id, message_id)

    async def react(self, user_id: UUID, message_id: UUID, reaction: Reaction | None) -> Message:
        """FORBIDDEN for the user's own messages."""
        found = await self._message(user_id, message_id)
        if found.role != "assistant":
            raise CallerError(Code.FORBIDDEN, "Only replies can be liked or disliked")
        await self._messages.react(user_id, message_id, reaction)
        return await self._message(user_id, message_id)

    async def _own(self, user_id: UUID, conversation_id: UUID) -> Conversation:
        found = await self._conversations.find(user_id, conversation_id)
        if found is None:
            raise not_found("conversation")
        return found

    async def _message(self, user_id: UUID, message_id: UUID) -> Message:
        found = await self._messages.find(user_id, message_id)
        if found is None:
            raise not_found("message")
        return found
