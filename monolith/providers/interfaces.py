"""What the app asks of a provider, and the models it knows by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

StandardModel = Literal[
    "claude-3-haiku", "gpt-4o-mini", "gemini-flash", "llama-3-70b", "deepseek-chat"
]
PremiumModel = Literal["claude-3-5-sonnet", "gpt-4o", "gemini-pro"]
ModelName = Literal[StandardModel, PremiumModel]
DEFAULT_MODEL: ModelName = "claude-3-haiku"
PREMIUM = frozenset(get_args(PremiumModel))
CHARACTERS_PER_TOKEN = 4  # the estimate of contract, 7, also used for the context budget


@dataclass(frozen=True, slots=True)
class Speaker:
    name: str
    series: str


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier message; sender is `user` or the character."""

    sender: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One exchange: who answers, in which order, to what."""

    model: str
    speakers: tuple[Speaker, ...]
    history: tuple[Turn, ...]
    message: str
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the reply of speakers[speaker]; speakers come one after the other."""

    speaker: int
    text: str


@dataclass(frozen=True, slots=True)
class StoryRequest:
    characters: tuple[str, ...]
    universe: str
    title: str | None
    setting: str
    tone: str
    themes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoryText:
    title: str
    content: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Transcript:
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class ImageRequest:
    prompt: str
    size: str
    style: str | None


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    data: bytes
    model: str


@dataclass(frozen=True, slots=True)
class Label:
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Analysis:
    description: str
    labels: tuple[Label, ...]
    model: str


class ModelProvider(Protocol):
    """Raises ApiError PROVIDER_ERROR or PROVIDER_TIMEOUT with provider_kind `model`."""

    def replies(self, prompt: Prompt) -> AsyncIterator[Delta]: ...

    async def follow_ups(self, prompt: Prompt, replies: list[str]) -> list[str]: ...

    async def story(self, request: StoryRequest) -> StoryText: ...


class SpeechProvider(Protocol):
    """provider_kind `speech`."""

    async def transcribe(self, audio: bytes, kind: str, language: str | None) -> Transcript: ...

    async def speak(self, text: str, voice: str, form: str) -> bytes: ...


class ImageProvider(Protocol):
    """provider_kind `image`."""

    async def generate(self, request: ImageRequest) -> GeneratedImage: ...

    async def analyze(self, data: bytes, content_type: str, question: str) -> Analysis: ...


class Moderator(Protocol):
    async def allows(self, text: str) -> bool: ...


def estimate_tokens(*texts: str) -> int:
    """ceil(code points / 4) over all texts."""
    return -(-sum(len(text) for text in texts) // CHARACTERS_PER_TOKEN)
