"""Single messages: edit, delete, pin, react."""

from __future__ import annotations

from services.chat.endpoints.dependencies import ChatService
from shared.auth.dependencies import CurrentUser
from shared.contract.chat import EditMessage, Message, Pin, React
from shared.contract.values import Id
from shared.web.endpoints import ServiceRouter

router = ServiceRouter()


@router.endpoint("chat.message_edit")
async def message_edit(
    chat: ChatService, user: CurrentUser, message_id: Id, body: EditMessage
) -> Message:
    return await chat.conversations.edit(user.id, message_id, body.content)


@router.endpoint("chat.message_delete")
async def message_delete(chat: ChatService, user: CurrentUser, message_id: Id) -> None:
    await chat.conversations.delete_message(user.id, message_id)


@router.endpoint("chat.pin")
async def pin(chat: ChatService, user: CurrentUser, message_id: Id, body: Pin) -> Message:
    return await chat.conversations.pin(user.id, message_id, pinned=body.pinned)


@router.endpoint("chat.react")
async def react(chat: ChatService, user: CurrentUser, message_id: Id, body: React) -> Message:
    return await chat.conversations.react(user.id, message_id, body.reaction_type)
