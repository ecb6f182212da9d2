"""A whole conversation as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response

from monolith.calls import CurrentCall
from monolith.chat.models import Conversation, ExportDocument, ExportQuery, Message
from monolith.chat.pdf import text_pdf
from monolith.chat.router import router
from monolith.chat.rows import MESSAGE, conversation_of, find_conversation, message_of
from monolith.values import Identifier, format_timestamp

TYPES = {
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "pdf": "application/pdf",
}


@router.route(
    "export",
    "GET",
    "/api/chat/conversations/{conversation_id}/export",
    auth="user",
    kind="read",
    bucket="default",
    content=tuple(TYPES.values()),
)
async def export(
    call: CurrentCall, conversation_id: Identifier, query: Annotated[ExportQuery, Query()]
) -> Response:
    database = call.context.database
    conversation = conversation_of(await find_conversation(database, call.user_id, conversation_id))
    rows = await database.fetch(
        f"{MESSAGE} AND m.conversation_id = $2 ORDER BY m.seq", call.user_id, conversation_id
    )
    messages = [message_of(row) for row in rows]
    name = f"conversation-{conversation_id}.{query.format}"
    return Response(
        _content(query.format, conversation, messages),
        headers={
            "Content-Type": TYPES[query.format],
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )


def _content(form: str, conversation: Conversation, messages: Sequence[Message]) -> bytes:
    if form == "json":
        document = ExportDocument(conversation=conversation, messages=list(messages))
        return document.model_dump_json().encode()
    text = as_text(conversation, messages)
    return text_pdf(text) if form == "pdf" else text.encode()


def as_text(conversation: Conversation, messages: Sequence[Message]) -> str:
    """Title, empty line, then `[<created_at>] <sender>: <content>` per message."""
    lines = [conversation.title, ""]
    lines += [f"[{format_timestamp(m.created_at)}] {m.sender}: {m.content}" for m in messages]
    return "".join(f"{line}\n" for line in lines)
