"""The providers of this process, chosen by settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monolith.errors import content_rejected, provider_failed
from monolith.providers.interfaces import (
    Analysis,
    GeneratedImage,
    ImageProvider,
    ImageRequest,
    ModelProvider,
    Moderator,
    SpeechProvider,
    Transcript,
)
from monolith.providers.reference import (
    ReferenceImages,
    ReferenceModel,
    ReferenceModerator,
    ReferenceSpeech,
)
from monolith.settings import Settings

if TYPE_CHECKING:  # the vendors' libraries are large: they are loaded where they are used
    from monolith.providers.anthropic_model import AnthropicModel
    from monolith.providers.openai_models import OpenAiModels


class Absent:
    """Stands where no provider is configured: every call fails as a provider would."""

    async def transcribe(self, audio: bytes, kind: str, language: str | None) -> Transcript:
        raise provider_failed("speech")

    async def speak(self, text: str, voice: str, form: str) -> bytes:
        raise provider_failed("speech")

    async def generate(self, request: ImageRequest) -> GeneratedImage:
        raise provider_failed("image")

    async def analyze(self, data: bytes, content_type: str, question: str) -> Analysis:
        raise provider_failed("image")

    async def allows(self, text: str) -> bool:
        return True


class Providers:
    """Model, speech, images and moderation."""

    def __init__(self, settings: Settings) -> None:
        self.model: ModelProvider
        self.speech: SpeechProvider
        self.images: ImageProvider
        self.moderator: Moderator
        self._claude: AnthropicModel | None = None
        self._gpt: OpenAiModels | None = None
        if settings.providers == "reference":
            self.model = ReferenceModel()
            self.speech = ReferenceSpeech()
            self.images = ReferenceImages()
            self.moderator = ReferenceModerator()
            return
        from monolith.providers.anthropic_model import AnthropicModel
        from monolith.providers.openai_models import OpenAiModels
        from monolith.providers.vendors import VendorModels

        keys = settings.provider_keys
        if keys.get("ANTHROPIC_API_KEY"):
            self._claude = AnthropicModel(keys["ANTHROPIC_API_KEY"], keys.get("ANTHROPIC_BASE_URL"))
        if keys.get("OPENAI_API_KEY"):
            self._gpt = OpenAiModels(keys["OPENAI_API_KEY"], keys.get("OPENAI_BASE_URL"))
        self.model = VendorModels(keys, self._claude, self._gpt)
        self.speech = self.images = self.moderator = self._gpt or Absent()

    async def open(self) -> None:
        """Nothing to open: clients connect with their first call."""

    async def close(self) -> None:
        for client in (self._claude, self._gpt):
            if client is not None:
                await client.close()

    async def moderate(self, *texts: str | None) -> None:
        """Raise CONTENT_REJECTED if moderation refuses one of the texts."""
        text = "\n".join(text for text in texts if text)
        if text and not await self.moderator.allows(text):
            raise content_rejected()
