"""What the service asks of a provider; every one raises PeerError PROVIDER_ERROR or PROVIDER_TIMEOUT."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.chat.models.prompts import Delta, Prompt
from shared.contract.chat import SpeechFormat


@dataclass(frozen=True, slots=True)
class Heard:
    """A transcript."""

    text: str
    language: str


class ModelProvider(Protocol):
    """provider_kind `model`."""

    def replies(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """Pieces of every speaker's reply, in speaking order."""
        ...

    async def follow_ups(self, prompt: Prompt, replies: Sequence[str]) -> list[str]:
        """0 to 3 questions that the user might ask next; never an error."""
        ...


class SpeechProvider(Protocol):
    """provider_kind `speech`."""

    async def transcribe(self, audio: bytes, kind: str, language: str | None) -> Heard: ...

    async def speak(self, text: str, voice: str, form: SpeechFormat) -> bytes: ...


class VisionProvider(Protocol):
    """provider_kind `image`."""

    async def describe(self, image: bytes, content_type: str) -> str: ...


class Moderator(Protocol):
    """provider_kind `model`."""

    async def allows(self, text: str) -> bool: ...


class Backgrounds(Protocol):
    """What is known of a character from outside."""

    async def of(self, name: str, series: str) -> str:
        """A few sentences, "" when nothing is known in time; never an error."""
        ...


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers of this process, chosen by settings."""

    model: ModelProvider
    speech: SpeechProvider
    vision: VisionProvider
    moderator: Moderator
    backgrounds: Backgrounds
