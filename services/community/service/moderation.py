"""Refuses texts that break the rules; knows no vendor."""

from __future__ import annotations

from services.community.providers.interfaces import Moderator
from shared.errors import CallerError, Code


async def check_texts(moderator: Moderator, *texts: str | None) -> None:
    """Raise CONTENT_REJECTED if moderation refuses one of the texts; they are judged together."""
    text = "\n".join(text for text in texts if text)
    if text and not await moderator.allows(text):
        raise CallerError(Code.CONTENT_REJECTED, "This text breaks the rules of the community")
