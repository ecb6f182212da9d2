"""Whether an image or a conversation is the caller's: own tables first, else the owner's route."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import httpx

from monolith.calls import Call
from monolith.errors import unavailable

ASK_SECONDS = 5.0
IMAGE = "SELECT true FROM media_metadata WHERE id = $1 AND user_id = $2"
CONVERSATION = "SELECT true FROM conversations WHERE id = $1 AND user_id = $2"


async def owns_image(call: Call, media_id: UUID) -> bool:
    return await _owns(call, IMAGE, media_id, f"/api/images/{media_id}")


async def owns_conversation(call: Call, conversation_id: UUID) -> bool:
    path = f"/api/chat/conversations/{conversation_id}/messages?limit=1"
    return await _owns(call, CONVERSATION, conversation_id, path)


async def _owns(call: Call, query: str, identity: UUID, path: str) -> bool:
    """The table may have moved to another database; then its owner answers under OWNER_API_URL."""
    try:
        if await call.context.database.value(query, identity, call.user_id):
            return True
    except asyncpg.UndefinedTableError:
        if call.context.settings.owner_api_url is None:
            raise
    base = call.context.settings.owner_api_url
    if base is None:
        return False
    headers = {
        "Authorization": call.request.headers.get("authorization", ""),
        "X-Request-Id": call.request_id,
    }
    try:
        async with httpx.AsyncClient(timeout=ASK_SECONDS) as client:
            answer = await client.get(base + path, headers=headers)
    except httpx.HTTPError as error:
        raise unavailable("The owner of this resource does not answer") from error
    if answer.status_code not in {200, 404}:
        raise unavailable("The owner of this resource does not answer")
    return answer.status_code == 200
