"""JSON of the media routes (contract, 2.0 and 2.5)."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from monolith.pages import PageQuery
from monolith.values import Timestamp, Trimmed, Wire

MediaKind = Literal["upload", "generated", "chat"]
Purpose = Literal["avatar", "story", "character", "chat", "other"]
Size = Literal["512x512", "1024x1024", "1024x1536", "1536x1024"]


class Media(Wire):
    id: UUID
    kind: MediaKind
    purpose: Purpose
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


class MediaPage(Wire):
    items: list[Media]
    next_cursor: str | None
    has_more: bool


class LabelOut(Wire):
    name: str
    score: float


class AnalysisOut(Wire):
    description: str
    labels: list[LabelOut]
    media_id: UUID | None
    model: str
    remaining_quota: int


class GenerateIn(Wire):
    prompt: Annotated[Trimmed, Field(min_length=1, max_length=2000)]
    size: Size | None = None
    style: Annotated[Trimmed, Field(max_length=50)] | None = None
    purpose: Purpose | None = None


class MediaQuery(PageQuery):
    kind: MediaKind | None = None
    purpose: Purpose | None = None


Question = Annotated[Trimmed, Field(max_length=500)]
