"""The answer to a sender: stored and committed, then the effect starts."""

from __future__ import annotations

from datetime import datetime

from fastapi import Response

from monolith.calls import Call, reply
from monolith.errors import malformed
from monolith.values import Wire
from monolith.webhooks import inbox
from monolith.webhooks.desk import WebhookDesk

ID_CHARACTERS_MAX = 255


class Received(Wire):
    received: bool = True
    duplicate: bool


async def receive(
    call: Call, provider: str, event_id: object, event_type: object, created_at: datetime | None
) -> Response:
    """Store a verified delivery and answer; a known id changes nothing."""
    if not isinstance(event_id, str) or not 0 < len(event_id) <= ID_CHARACTERS_MAX:
        raise malformed("The event has no id")
    if not isinstance(event_type, str) or not event_type or "\x00" in event_id + event_type:
        raise malformed("The event has no type")
    context = call.context
    raw = await call.request.body()
    stored = await inbox.store(context.database, provider, event_id, event_type, raw, created_at)
    if stored:
        context.part(WebhookDesk).kick(context, provider, event_id)
    return reply(Received(duplicate=not stored))
