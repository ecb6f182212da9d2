"""Conversations: list, delete, history, new groups."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from monolith.calls import CurrentCall, empty, reply
from monolith.chat.models import (
    TITLE_MAX,
    Conversation,
    ConversationPage,
    ConversationQuery,
    GroupCreateIn,
    HistoryQuery,
    MessagePage,
)
from monolith.chat.router import router
from monolith.chat.rows import (
    CONVERSATION,
    MESSAGE,
    announce_conversation,
    conversation_of,
    find_conversation,
    message_of,
)
from monolith.database import Row, emit, one
from monolith.errors import not_found
from monolith.pages import Cursor, cut, decode_cursor, time_sort
from monolith.values import Identifier


@router.route(
    "group_create",
    "POST",
    "/api/chat/group",
    auth="user",
    kind="write",
    bucket="default",
    answer=Conversation,
    success=201,
    keyed=True,
)
async def group_create(call: CurrentCall, body: GroupCreateIn) -> Response:
    participants = [{"name": p.name, "series": p.series or ""} for p in body.participants]
    title = body.title or " & ".join(p.name for p in body.participants)
    async with call.context.database.transaction() as connection:
        row = await one(
            connection,
            "INSERT INTO conversations (user_id, conversation_type, title, participants)"
            " VALUES ($1, 'group', $2, $3) RETURNING *",
            call.user_id,
            title[:TITLE_MAX].strip(),
            participants,
        )
        await announce_conversation(connection, row, call.request_id)
    return reply(conversation_of(row), 201)


@router.route(
    "conversation_list",
    "GET",
    "/api/chat/conversations",
    auth="user",
    kind="read",
    bucket="default",
    answer=ConversationPage,
)
async def conversation_list(
    call: CurrentCall, query: Annotated[ConversationQuery, Query()]
) -> Response:
    cursor = decode_cursor(query.cursor)
    conditions, arguments = ["user_id = $1"], [call.user_id, query.limit + 1]
    texts: list[object] = list(arguments)
    if query.type is not None:
        texts.append(query.type)
        conditions.append(f"conversation_type = ${len(texts)}")
    if query.character is not None:
        texts.append(query.character)
        conditions.append(f"lower(character_name) = lower(${len(texts)})")
    if cursor is not None:
        texts += [cursor.timestamp(), cursor.uuid()]
        conditions.append(f"(last_message_at, id) < (${len(texts) - 1}, ${len(texts)})")
    rows = await call.context.database.fetch(
        f"{CONVERSATION} WHERE {' AND '.join(conditions)}"
        " ORDER BY last_message_at DESC, id DESC LIMIT $2",
        *texts,
    )
    page, rest = cut(
        rows, query.limit, lambda r: Cursor(time_sort(r["last_message_at"]), str(r["id"]))
    )
    return reply(
        ConversationPage(
            items=[conversation_of(row) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
        )
    )


@router.route(
    "conversation_delete",
    "DELETE",
    "/api/chat/conversations/{conversation_id}",
    auth="user",
    kind="write",
    bucket="default",
    success=204,
)
async def conversation_delete(call: CurrentCall, conversation_id: Identifier) -> Response:
    async with call.context.database.transaction() as connection:
        deleted = await connection.fetchval(
            "DELETE FROM conversations WHERE id = $1 AND user_id = $2 RETURNING id",
            conversation_id,
            call.user_id,
        )
        if deleted is None:
            raise not_found("No such conversation")
        data = {"conversation_id": str(conversation_id)}
        await emit(connection, "conversation.deleted", call.user_id, data, "chat", call.request_id)
    return empty()


@router.route(
    "history",
    "GET",
    "/api/chat/conversations/{conversation_id}/messages",
    auth="user",
    kind="read",
    bucket="default",
    answer=MessagePage,
)
async def history(
    call: CurrentCall, conversation_id: Identifier, query: Annotated[HistoryQuery, Query()]
) -> Response:
    cursor = decode_cursor(query.cursor)
    database = call.context.database
    conversation = await find_conversation(database, call.user_id, conversation_id)
    after = None if cursor is None else cursor.integer()
    rows = await _messages(call, conversation_id, query, after)
    page, rest = cut(rows, query.limit, lambda r: Cursor(str(r["seq"]), str(r["id"])))
    return reply(
        MessagePage(
            items=[message_of(row) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
            conversation=conversation_of(conversation),
        )
    )


async def _messages(
    call: CurrentCall, conversation_id: UUID, query: HistoryQuery, after: int | None
) -> list[Row]:
    direction, sign = ("ASC", ">") if query.order == "asc" else ("DESC", "<")
    pinned = " AND m.pinned" if query.pinned else ""
    return await call.context.database.fetch(
        f"{MESSAGE} AND m.conversation_id = $2{pinned}"
        f" AND ($3::bigint IS NULL OR m.seq {sign} $3) ORDER BY m.seq {direction} LIMIT $4",
        call.user_id,
        conversation_id,
        after,
        query.limit + 1,
    )
