"""The providers of real vendors; what has no key fails as a provider would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import httpx
import openai

from services.chat.providers.backgrounds.known import KnownBackgrounds
from services.chat.providers.backgrounds.sources import Source, Tmdb, Wikipedia
from services.chat.providers.interfaces import Backgrounds, Heard, Providers
from services.chat.providers.reference import NoBackgrounds
from services.chat.providers.vendors.anthropic_model import AnthropicModel
from services.chat.providers.vendors.calls import VendorModel
from services.chat.providers.vendors.fallback import FallbackModel
from services.chat.providers.vendors.live_model import LiveModel
from services.chat.providers.vendors.openai_model import OpenAiModel, openai_client
from services.chat.providers.vendors.openai_senses import OpenAiSenses, SenseModels
from services.chat.providers.vendors.registry import ModelRegistry
from services.chat.settings import ChatSettings
from shared.cache import Cache
from shared.contract.chat import SpeechFormat
from shared.errors import provider_failed

#: Of the vendors that speak like OpenAI, those that know the newer name of the output's bound.
NEW_LIMIT_NAME = frozenset({"openai", "groq"})
#: Gemini's models think unless told otherwise, and count that as output.
THINKING_TOKENS = {"gemini": 4096}


class AbsentSenses:
    """Stands where OpenAI has no key: fails as a provider would, and lets every text pass."""

    async def transcribe(self, _audio: bytes, _kind: str, _language: str | None) -> Heard:
        raise _absent("speech")

    async def speak(self, _text: str, _voice: str, _form: SpeechFormat) -> bytes:
        raise _absent("speech")

    async def describe(self, _image: bytes, _content_type: str) -> str:
        raise _absent("image")

    async def allows(self, _text: str) -> bool:
        return True


@asynccontextmanager
async def open_live_providers(settings: ChatSettings, cache: Cache) -> AsyncIterator[Providers]:
    """The providers while the block runs; nothing connects yet."""
    async with AsyncExitStack() as stack:
        vendors: dict[str, VendorModel] = {}
        senses: OpenAiSenses | AbsentSenses = AbsentSenses()
        if settings.anthropic_api_key is not None:
            claude = AnthropicModel(
                settings.anthropic_api_key.get_secret_value(), settings.anthropic_base_url
            )
            vendors["anthropic"] = await stack.enter_async_context(aclosing(claude))
        for vendor, client in _openai_like(settings).items():
            await stack.enter_async_context(client)
            vendors[vendor] = OpenAiModel(
                client,
                new_limit_name=vendor in NEW_LIMIT_NAME,
                thinking_tokens=THINKING_TOKENS.get(vendor, 0),
            )
            if vendor == "openai":
                senses = OpenAiSenses(client, _sense_models(settings))
        fallback = FallbackModel(
            vendors,
            first_token_seconds=settings.first_token_seconds,
            calls_at_once=settings.model_calls_at_once,
        )
        registry = ModelRegistry(settings.chains(), vendors.keys())
        suggests = settings.follow_up_model if settings.follow_ups else None
        model = LiveModel(fallback, registry, suggests)
        backgrounds = await _backgrounds(settings, cache, stack)
        yield Providers(model, senses, senses, senses, backgrounds)


def _openai_like(settings: ChatSettings) -> dict[str, openai.AsyncOpenAI]:
    """Clients of the vendors with a key, by name."""
    found = {
        "openai": (settings.openai_api_key, settings.openai_base_url),
        "groq": (settings.groq_api_key, settings.groq_base_url),
        "deepseek": (settings.deepseek_api_key, settings.deepseek_base_url),
        "gemini": (settings.gemini_api_key, settings.gemini_base_url),
    }
    return {
        vendor: openai_client(key.get_secret_value(), base_url)
        for vendor, (key, base_url) in found.items()
        if key is not None
    }


def _sense_models(settings: ChatSettings) -> SenseModels:
    return SenseModels(
        settings.transcription_model,
        settings.speech_model,
        settings.vision_model,
        settings.moderation_model,
    )


async def _backgrounds(settings: ChatSettings, cache: Cache, stack: AsyncExitStack) -> Backgrounds:
    if not settings.backgrounds:
        return NoBackgrounds()
    agent = {"User-Agent": f"chat-service/{settings.git_rev} (+{settings.public_base_url})"}
    client = await stack.enter_async_context(httpx.AsyncClient(headers=agent))
    sources: list[Source] = [Wikipedia(client, settings.wikipedia_base_url)]
    if settings.tmdb_api_key is not None:
        key = settings.tmdb_api_key.get_secret_value()
        sources.insert(0, Tmdb(client, settings.tmdb_base_url, key))
    return await stack.enter_async_context(aclosing(KnownBackgrounds(cache, sources)))


def _absent(kind: str) -> Exception:
    return provider_failed(f"no {kind} provider is configured; set OPENAI_API_KEY", kind)
