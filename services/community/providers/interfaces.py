"""What the service asks of providers; knows no vendor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

CHARACTERS_PER_TOKEN = 4  # the estimate of the contract (7)


@dataclass(frozen=True, slots=True)
class StoryWish:
    """A story to write; empty texts say nothing."""

    characters: tuple[str, ...]
    universe: str
    title: str | None
    setting: str
    tone: str
    themes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WrittenStory:
    title: str
    content: str
    tokens: int


class Storyteller(Protocol):
    """Raises PeerError PROVIDER_ERROR or PROVIDER_TIMEOUT of kind `model`."""

    async def tell(self, wish: StoryWish) -> WrittenStory: ...


class Moderator(Protocol):
    """Raises PeerError of kind `model`."""

    async def allows(self, text: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Providers:
    """Those of this process."""

    storyteller: Storyteller
    moderator: Moderator


def estimate_tokens(text: str) -> int:
    """ceil(code points / 4)."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)
