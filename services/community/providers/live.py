"""The vendors whose keys are set, and what stands where none is; imports the vendors' libraries."""

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
from services.community.providers.vendors import (
    AnthropicText,
    ModelChain,
    ModelStoryteller,
    OpenAiModerator,
    OpenAiText,
    TextModel,
)
from services.community.settings import CommunitySettings
from shared.errors import provider_failed

CALL_SECONDS = 25.0  # so that another model may stand in before the 40 s of a story are over


class AbsentStoryteller:
    """Stands where no key is set: fails as a provider would."""

    async def tell(self, wish: StoryWish) -> WrittenStory:
        raise provider_failed(
            "no model is configured; set ANTHROPIC_API_KEY or OPENAI_API_KEY", "model"
        )


class AbsentModerator:
    """Without a moderator every text passes."""

    async def allows(self, text: str) -> bool:
        return True


@asynccontextmanager
async def open_live(settings: CommunitySettings) -> AsyncIterator[Providers]:
    """Clients of the vendors while the block runs. The SDKs' own retries are off."""
    async with AsyncExitStack() as stack:
        gpt = await _open_openai(stack, settings)
        claude = await _open_anthropic(stack, settings)
        moderator = OpenAiModerator(gpt) if gpt is not None else AbsentModerator()
        yield Providers(_storyteller(settings, claude, gpt), moderator)


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


async def _open_anthropic(
    stack: AsyncExitStack, settings: CommunitySettings
) -> anthropic.AsyncAnthropic | None:
    key = settings.anthropic_api_key
    if key is None:
        return None
    return await stack.enter_async_context(
        anthropic.AsyncAnthropic(
            api_key=key.get_secret_value(),
            base_url=settings.anthropic_base_url,
            timeout=CALL_SECONDS,
            max_retries=0,
        )
    )


def _storyteller(
    settings: CommunitySettings,
    claude: anthropic.AsyncAnthropic | None,
    gpt: openai.AsyncOpenAI | None,
) -> Storyteller:
    """By the models of the settings whose vendor has a key."""
    models: list[TextModel] = []
    for vendor, model in settings.story_models:
        if vendor == "anthropic" and claude is not None:
            models.append(AnthropicText(claude, model))
        elif vendor == "openai" and gpt is not None:
            models.append(OpenAiText(gpt, model))
    return ModelStoryteller(ModelChain(*models)) if models else AbsentStoryteller()
