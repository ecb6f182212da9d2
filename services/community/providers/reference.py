"""The reference providers of the contract (7): exact answers, nothing outside is called."""

from __future__ import annotations

import asyncio

from services.community.providers.interfaces import StoryWish, WrittenStory, estimate_tokens
from shared.errors import provider_failed, provider_timed_out

SLOW_SECONDS = 2.0


class ReferenceStoryteller:
    async def tell(self, wish: StoryWish) -> WrittenStory:
        await _obey(
            "\n".join(
                (
                    *wish.characters,
                    wish.universe,
                    wish.title or "",
                    wish.setting,
                    wish.tone,
                    *wish.themes,
                )
            )
        )
        world = wish.universe or "an unknown world"
        title = wish.title or f"{wish.characters[0]} in {world}"
        content = f"{title}\n\nA story with {', '.join(wish.characters)}."
        return WrittenStory(title, content, estimate_tokens(content))


class ReferenceModerator:
    async def allows(self, text: str) -> bool:
        return "[[reject]]" not in text


async def _obey(text: str) -> None:
    """Do what the markers in a text ask for."""
    if "[[slow]]" in text:
        await asyncio.sleep(SLOW_SECONDS)
    if "[[timeout]]" in text:
        raise provider_timed_out("asked to time out by a marker", "model")
    if "[[fail]]" in text or "[[fail-mid]]" in text:
        raise provider_failed("asked to fail by a marker", "model")
