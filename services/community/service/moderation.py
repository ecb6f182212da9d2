"""Refuses texts that break the rules; knows no vendor."""

from __future__ import annotations

import asyncio

from services.community.providers.interfaces import Moderator
from shared.errors import CallerError, Code, provider_timed_out

#: Below the 10 s in which writes must answer (contract, 1.17).
MODERATION_SECONDS = 8.0


async def check_texts(
    moderator: Moderator, *texts: str | None, seconds: float = MODERATION_SECONDS
) -> None:
    """Raise CONTENT_REJECTED if moderation refuses one of the texts; they are judged together."""
    text = "\n".join(text for text in texts if text)
    if not text:
        return
    try:
        async with asyncio.timeout(seconds):
            is_allowed = await moderator.allows(text)
    except TimeoutError as error:
        raise provider_timed_out("moderation took too long", "model") from error
    if not is_allowed:
        raise CallerError(Code.CONTENT_REJECTED, "This text breaks the rules of the community")
