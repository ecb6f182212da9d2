"""Chooses the providers by settings, and says no where none is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.media.providers.interfaces import MadeImage, Providers, SeenImage, Wish
from services.media.providers.reference import ReferenceImages, ReferenceModerator
from services.media.settings import MediaSettings
from shared.errors import provider_failed


class AbsentImages:
    """Stands where no key is set: fails as a provider would, and lets every text pass."""

    async def make(self, wish: Wish) -> MadeImage:
        raise _absent()

    async def look(self, content: bytes, content_type: str, question: str) -> SeenImage:
        raise _absent()

    async def allows(self, text: str) -> bool:
        return True


@asynccontextmanager
async def open_providers(settings: MediaSettings) -> AsyncIterator[Providers]:
    """The providers while the block runs; nothing connects yet."""
    if settings.providers == "reference":
        yield Providers(ReferenceImages(), ReferenceModerator())
        return
    if settings.openai_api_key is None:
        absent = AbsentImages()
        yield Providers(absent, absent)
        return
    # The vendor's library is large: only those who use it wait for it.
    from services.media.providers.openai_images import open_openai

    async with open_openai(settings, settings.openai_api_key) as images:
        yield Providers(images, images)


def _absent() -> Exception:
    return provider_failed("no image provider is configured; set OPENAI_API_KEY", "image")
