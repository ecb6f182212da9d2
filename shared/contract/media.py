"""Wire models of images (public contract, 2.0 and 2.5)."""

from __future__ import annotations

from typing import Annotated, Literal

from shared.contract.page import Page
from shared.contract.values import Id, RequestModel, Text, Timestamp, WireModel

MediaKind = Literal["upload", "generated", "chat"]
MediaPurpose = Literal["avatar", "story", "character", "chat", "other"]
ImageSize = Literal["512x512", "1024x1024", "1024x1536", "1536x1024"]
ImageType = Literal["image/png", "image/jpeg", "image/webp"]
AudioType = Literal["audio/mpeg", "audio/mp4", "audio/wav", "audio/webm", "audio/ogg"]

Question = Annotated[str, Text(0, 500)]


class Media(WireModel):
    """An image; `image_url` is the old name of `url`."""

    id: Id
    kind: MediaKind
    purpose: MediaPurpose
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    sha256: str
    prompt: str | None
    model: str | None
    url: str
    image_url: str
    created_at: Timestamp
    updated_at: Timestamp


class GeneratedMedia(Media):
    remaining_quota: int


class Label(WireModel):
    name: str
    score: float


class Analysis(WireModel):
    description: str
    labels: tuple[Label, ...]
    media_id: Id | None
    model: str
    remaining_quota: int


MediaPage = Page[Media]


class Generate(RequestModel):
    prompt: Annotated[str, Text(1, 2000)]
    size: ImageSize = "1024x1024"
    style: Annotated[str, Text(0, 50)] | None = None
    purpose: MediaPurpose = "other"
