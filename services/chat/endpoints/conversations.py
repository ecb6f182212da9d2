"""Conversations: list, delete, history, export."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from services.chat.endpoints.dependencies import ChatService
from services.chat.endpoints.export import export_file
from services.chat.repository.conversations import ListFilter
from shared.auth.dependencies import CurrentUser
from shared.contract.chat import (
    ConversationPage,
    ConversationType,
    ExportFormat,
    ListOrder,
    MessagePage,
)
from shared.contract.values import Id, Text
from shared.web.cursors import Cursor, Limit, cursor_parameter, cut_page
from shared.web.endpoints import ServiceRouter

router = ServiceRouter()
AfterCursor = Annotated[Cursor | None, Depends(cursor_parameter)]
Character = Annotated[str, Text()]


@router.endpoint("chat.conversation_list")
async def conversation_list(
    chat: ChatService,
    user: CurrentUser,
    after: AfterCursor,
    type: ConversationType | None = None,  # noqa: A002 - the parameter's public name
    character: Character | None = None,
    limit: Limit = 20,
) -> ConversationPage:
    chosen = ListFilter(type, character)
    rows = await chat.conversations.newest(user.id, chosen, _place(after), limit + 1)
    items, next_cursor, has_more = cut_page(
        rows, limit, lambda one: Cursor.of(one.last_message_at, one.id)
    )
    return ConversationPage(items=tuple(items), next_cursor=next_cursor, has_more=has_more)


@router.endpoint("chat.conversation_delete")
async def conversation_delete(chat: ChatService, user: CurrentUser, conversation_id: Id) -> None:
    await chat.conversations.delete(user.id, conversation_id)


@router.endpoint("chat.history")
async def history(
    chat: ChatService,
    user: CurrentUser,
    conversation_id: Id,
    after: AfterCursor,
    order: ListOrder = "desc",
    pinned: bool = False,
    limit: Limit = 20,
) -> MessagePage:
    conversation, rows = await chat.conversations.history(
        user.id,
        conversation_id,
        order=order,
        only_pinned=pinned,
        after=None if after is None else after.integer(),
        rows=limit + 1,
    )
    items, next_cursor, has_more = cut_page(rows, limit, lambda one: Cursor.of(one.seq, one.id))
    return MessagePage(
        items=tuple(items), next_cursor=next_cursor, has_more=has_more, conversation=conversation
    )


@router.endpoint("chat.export")
async def export(
    chat: ChatService,
    user: CurrentUser,
    conversation_id: Id,
    format: ExportFormat = "txt",  # noqa: A002 - the parameter's public name
) -> Response:
    document = await chat.conversations.whole(user.id, conversation_id)
    return export_file(document, format)


def _place(after: Cursor | None) -> tuple[datetime, UUID] | None:
    return None if after is None else (after.moment(), after.uuid())
