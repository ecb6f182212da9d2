"""Rows of images, what becomes one, and how they look on the wire; no SQL, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from shared.contract.media import Media, MediaKind, MediaPurpose
from shared.storage import media_key
from shared.web.uploads import File

Row = asyncpg.Record | Mapping[str, Any]

#: Columns of a row that clients see under the same name.
_SHOWN = tuple(name for name in Media.model_fields if name not in ("url", "image_url"))


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """A row of media_metadata; `shown` holds the columns that clients see."""

    id: UUID
    user_id: UUID
    storage_key: str
    content_type: str
    sha256: str
    created_at: datetime
    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewMedia:
    """A file that becomes an image of a user."""

    user_id: UUID
    file: File
    kind: MediaKind
    purpose: MediaPurpose
    prompt: str | None = None
    model: str | None = None
    id: UUID = field(default_factory=uuid4)

    @property
    def storage_key(self) -> str:
        return media_key(self.id)


@dataclass(frozen=True, slots=True)
class ChatImage:
    """An image that chat has stored already (event chat.image_received)."""

    id: UUID
    user_id: UUID
    storage_key: str
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Place:
    """The last row of a page, newest first."""

    created_at: datetime
    id: UUID


def stored_media(row: Row) -> StoredMedia:
    return StoredMedia(
        id=row["id"],
        user_id=row["user_id"],
        storage_key=row["storage_key"],
        content_type=row["content_type"],
        sha256=row["sha256"],
        created_at=row["created_at"],
        shown={name: row[name] for name in _SHOWN},
    )


def media_of(stored: StoredMedia, base_url: str) -> Media:
    """The image as clients see it; addresses are built from the public base address."""
    url = f"{base_url}/api/images/{stored.id}/content"
    return Media.model_validate({**stored.shown, "url": url, "image_url": url})
