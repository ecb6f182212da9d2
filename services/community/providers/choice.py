"""Chooses the providers by settings, and says no where none is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anthropic
import openai

from services.community.providers.interfaces import (
    Providers,
    Storyteller,
    StoryWish,
    WrittenStory,
)
from services.community.providers.reference import ReferenceModerator, ReferenceStoryteller
from services.community.providers.vendors import (
    AnthropicText,
    ModelStoryteller,
    OpenAiModerator,
    OpenAiText,
)
from services.community.settings import CommunitySettings
from shared.errors import provider_failed

CALL_SECONDS = 45.0  # below the 55 s in which the route must answer (contract, 1.17)


class AbsentStoryteller:
    """Stands where no key is set: fails as a provider would."""

    async def tell(self, wish: StoryWish) -> WrittenStory:
        raise provider_failed(
            "no model is configured; set ANTHROPIC_API_KEY or MODEL_CLAUDE_3_HAIKU=openai:<model>",
            "model",
        )


class AbsentModerator:
    """Without a moderator every text passes."""

    async def allows(self, text: str) -> bool:
        return True


@asynccontextmanager
async def open_providers(settings: CommunitySettings) -> AsyncIterator[Providers]:
    """The providers while the block runs; nothing connects yet. The SDKs' own retries are off."""
    if settings.providers == "reference":
        yield Providers(ReferenceStoryteller(), ReferenceModerator())
        return
    async with AsyncExitStack() as stack:
        gpt = await _open_openai(stack, settings)
        storyteller = await _storyteller(stack, settings, gpt)
        moderator = OpenAiModerator(gpt) if gpt is not None else AbsentModerator()
        yield Providers(storyteller, moderator)


async def _open_openai(
    stack: AsyncExitStack, settings: CommunitySettings
) -> openai.AsyncOpenAI | None:
    key = settings.openai_api_key
    if key is None:
        return None
    return await stack.enter_async_context(
        openai.AsyncOpenAI(
            api_key=key.get_secret_value(),
            base_url=settings.openai_base_url,
            timeout=CALL_SECONDS,
            max_retries=0,
        )
    )


async def _storyteller(
    stack: AsyncExitStack, settings: CommunitySettings, gpt: openai.AsyncOpenAI | None
) -> Storyteller:
    vendor, _, model = settings.model_claude_3_haiku.partition(":")
    if vendor == "openai" and gpt is not None:
        return ModelStoryteller(OpenAiText(gpt, model))
    key = settings.anthropic_api_key
    if vendor != "anthropic" or key is None:
        return AbsentStoryteller()
    claude = await stack.enter_async_context(
        anthropic.AsyncAnthropic(
            api_key=key.get_secret_value(),
            base_url=settings.anthropic_base_url,
            timeout=CALL_SECONDS,
            max_retries=0,
        )
    )
    return ModelStoryteller(AnthropicText(claude, model))
