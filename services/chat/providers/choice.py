"""Chooses the providers by settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chat.providers.interfaces import Providers
from services.chat.providers.reference import reference_providers
from services.chat.settings import ChatSettings
from shared.cache import Cache


@asynccontextmanager
async def open_providers(settings: ChatSettings, cache: Cache) -> AsyncIterator[Providers]:
    """The providers while the block runs; nothing connects yet."""
    if settings.providers == "reference":
        yield reference_providers()
        return
    # The vendors' libraries are large: two seconds of every start that does not need them.
    from services.chat.providers.live import open_live_providers

    async with open_live_providers(settings, cache) as providers:
        yield providers
