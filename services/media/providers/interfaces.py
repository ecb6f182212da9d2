"""What the service asks of providers; knows no vendor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wish:
    """An image to make; `size` as `<width>x<height>`."""

    prompt: str
    size: str
    style: str | None


@dataclass(frozen=True, slots=True)
class MadeImage:
    """The bytes and the model that made them."""

    content: bytes
    model: str


@dataclass(frozen=True, slots=True)
class SeenLabel:
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class SeenImage:
    """What a model sees in an image."""

    description: str
    labels: tuple[SeenLabel, ...]
    model: str


class ImageProvider(Protocol):
    """Raises PeerError PROVIDER_ERROR or PROVIDER_TIMEOUT of kind `image`."""

    async def make(self, wish: Wish) -> MadeImage: ...

    async def look(self, content: bytes, content_type: str, question: str) -> SeenImage: ...


class Moderator(Protocol):
    """Raises PeerError of kind `model`."""

    async def allows(self, text: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Providers:
    """Those of this process."""

    images: ImageProvider
    moderator: Moderator
