"""Talking to a character or a group, streamed or not."""

from __future__ import annotations

from fastapi import Request, Response

from services.chat.endpoints.dependencies import ChatService
from shared.auth.dependencies import CurrentUser
from shared.contract.chat import (
    ChatReply,
    Conversation,
    CreateGroup,
    GroupReply,
    GroupTalk,
    Talk,
)
from shared.contract.values import Id
from shared.web.endpoints import ServiceRouter
from shared.web.replay import stream_claim
from shared.web.streams import open_stream

router = ServiceRouter()


@router.endpoint("chat.talk")
async def talk(chat: ChatService, user: CurrentUser, body: Talk) -> ChatReply:
    return await chat.talking.talk(user.id, body)


@router.endpoint("chat.stream")
async def stream(request: Request, chat: ChatService, user: CurrentUser, body: Talk) -> Response:
    events = chat.streaming.events(user.id, body, stream_claim(request))
    return await open_stream(request, events)


@router.endpoint("chat.group_create")
async def group_create(chat: ChatService, user: CurrentUser, body: CreateGroup) -> Conversation:
    return await chat.conversations.create_group(user.id, body)


@router.endpoint("chat.group_talk")
async def group_talk(
    chat: ChatService, user: CurrentUser, conversation_id: Id, body: GroupTalk
) -> GroupReply:
    return await chat.talking.group_talk(user.id, conversation_id, body)
