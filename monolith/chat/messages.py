"""Single messages: edit, delete, pin, react."""

from __future__ import annotations

from uuid import UUID

from fastapi import Response

from monolith.calls import Call, CurrentCall, empty, reply
from monolith.chat.models import EditIn, Message, PinIn, ReactionIn
from monolith.chat.router import router
from monolith.chat.rows import find_message, message_of
from monolith.database import emit
from monolith.errors import ApiError, not_found
from monolith.providers.desk import Providers
from monolith.values import Identifier


async def _shown(call: Call, message_id: UUID) -> Response:
    return reply(message_of(await find_message(call.context.database, call.user_id, message_id)))


@router.route(
    "message_edit",
    "PATCH",
    "/api/chat/messages/{message_id}",
    auth="user",
    kind="write",
    bucket="default",
    answer=Message,
)
async def message_edit(call: CurrentCall, message_id: Identifier, body: EditIn) -> Response:
    database = call.context.database
    row = await find_message(database, call.user_id, message_id)
    if row["role"] != "user":
        raise ApiError("FORBIDDEN", "Only own messages can be edited")
    await call.context.part(Providers).moderate(body.content)
    await database.execute(
        "UPDATE messages SET content = $2, edited_at = now() WHERE id = $1",
        message_id,
        body.content,
    )
    return await _shown(call, message_id)


@router.route(
    "message_delete",
    "DELETE",
    "/api/chat/messages/{message_id}",
    auth="user",
    kind="write",
    bucket="default",
    success=204,
)
async def message_delete(call: CurrentCall, message_id: Identifier) -> Response:
    async with call.context.database.transaction() as connection:
        row = await connection.fetchrow(
            "DELETE FROM messages m USING conversations c WHERE m.id = $1"
            " AND c.id = m.conversation_id AND c.user_id = $2 RETURNING m.conversation_id, m.role",
            message_id,
            call.user_id,
        )
        if row is None:
            raise not_found("No such message")
        await connection.execute(
            "UPDATE conversations SET message_count = greatest(message_count - 1, 0) WHERE id = $1",
            row["conversation_id"],
        )
        data = {
            "conversation_id": str(row["conversation_id"]),
            "message_id": str(message_id),
            "role": row["role"],
        }
        await emit(connection, "message.deleted", call.user_id, data, "chat", call.request_id)
    return empty()


@router.route(
    "pin",
    "PUT",
    "/api/chat/messages/{message_id}/pin",
    auth="user",
    kind="write",
    bucket="default",
    answer=Message,
)
async def pin(call: CurrentCall, message_id: Identifier, body: PinIn) -> Response:
    database = call.context.database
    await find_message(database, call.user_id, message_id)
    await database.execute(
        "UPDATE messages SET pinned = $2 WHERE id = $1 AND pinned <> $2",
        message_id,
        body.pinned is not False,
    )
    return await _shown(call, message_id)


@router.route(
    "react",
    "PUT",
    "/api/chat/messages/{message_id}/reaction",
    auth="user",
    kind="write",
    bucket="default",
    answer=Message,
)
async def react(call: CurrentCall, message_id: Identifier, body: ReactionIn) -> Response:
    database = call.context.database
    row = await find_message(database, call.user_id, message_id)
    if row["role"] != "assistant":
        raise ApiError("FORBIDDEN", "Only replies can be liked or disliked")
    if body.reaction_type is None:
        await database.execute(
            "DELETE FROM message_reactions WHERE message_id = $1 AND user_id = $2",
            message_id,
            call.user_id,
        )
    else:
        await database.execute(
            "INSERT INTO message_reactions (message_id, user_id, reaction_type)"
            " VALUES ($1, $2, $3) ON CONFLICT (message_id, user_id)"
            " DO UPDATE SET reaction_type = excluded.reaction_type",
            message_id,
            call.user_id,
            body.reaction_type,
        )
    return await _shown(call, message_id)
