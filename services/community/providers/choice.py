"""Chooses the providers by settings, and says no where none is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.community.providers.interfaces import Providers
from services.community.providers.reference import ReferenceModerator, ReferenceStoryteller
from services.community.settings import CommunitySettings


@asynccontextmanager
async def open_providers(settings: CommunitySettings) -> AsyncIterator[Providers]:
    """The providers while the block runs; nothing connects yet."""
    if settings.providers == "reference":
        yield Providers(ReferenceStoryteller(), ReferenceModerator())
        return
    # The vendors' libraries are large: only those who use them wait for them.
    from services.community.providers.live import open_live

    async with open_live(settings) as providers:
        yield providers
