"""The reference providers of the contract (7): exact answers, nothing outside is called."""

from __future__ import annotations

import asyncio
import base64

from services.media.providers.interfaces import MadeImage, SeenImage, SeenLabel, Wish
from shared.errors import provider_failed, provider_timed_out

MODEL = "reference"
SLOW_SECONDS = 2.0
#: One pixel; the contract fixes what is generated to one image.
ONE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


class ReferenceImages:
    """Makes one pixel, and sees type and size."""

    async def make(self, wish: Wish) -> MadeImage:
        await _obey(wish.prompt)
        return MadeImage(ONE_PIXEL, MODEL)

    async def look(self, content: bytes, content_type: str, question: str) -> SeenImage:
        await _obey(question)
        description = f"{content_type}, {len(content)} bytes"
        return SeenImage(description, (SeenLabel("reference", 1.0),), MODEL)


class ReferenceModerator:
    async def allows(self, text: str) -> bool:
        return "[[reject]]" not in text


async def _obey(text: str) -> None:
    """Do what the markers in a text ask for."""
    if "[[slow]]" in text:
        await asyncio.sleep(SLOW_SECONDS)
    if "[[timeout]]" in text:
        raise provider_timed_out("asked to time out by a marker", "image")
    if "[[fail]]" in text or "[[fail-mid]]" in text:
        raise provider_failed("asked to fail by a marker", "image")
