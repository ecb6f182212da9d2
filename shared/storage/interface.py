"""What an app asks of a store of files, and how keys look; pure."""

from __future__ import annotations

import re
from typing import Protocol
from uuid import UUID

_KEY = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)*")


class Storage(Protocol):
    """Whole files by key. Every call raises PeerError PROVIDER_ERROR (`storage`) when it fails."""

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        """Store or replace; a reader sees all of it or nothing."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None if there are none under this key."""
        ...

    async def has(self, key: str) -> bool:
        """Whether there is a file under this key."""
        ...

    async def delete(self, key: str) -> None:
        """Remove; what is gone already is fine."""
        ...


def media_key(media_id: UUID | str) -> str:
    """Where the bytes of an image are; the same in every app of the product."""
    return f"media/{media_id}"


def check_key(key: str) -> str:
    """The key as it stands; ValueError for anything that could leave the store's own folder."""
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"not a storage key: {key!r}")
    return key
