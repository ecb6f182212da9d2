"""Bytes of files under their storage key, in one folder that every app of the product can see."""

from __future__ import annotations

import asyncio
import re
import uuid
from pathlib import Path

from monolith.errors import provider_failed
from monolith.settings import Settings

KEY = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)*")


class Storage:
    """Local files; a write is seen whole or not at all."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.media_dir

    async def open(self) -> None:
        """Nothing to open: the folder is made with the first file."""

    async def close(self) -> None:
        """Nothing to close."""

    def _path(self, key: str) -> Path:
        if KEY.fullmatch(key) is None:
            raise ValueError(f"not a storage key: {key!r}")
        return self._folder / key

    async def put(self, key: str, data: bytes) -> None:
        """Raises PROVIDER_ERROR (storage) if the folder cannot be written."""
        try:
            await asyncio.to_thread(_write, self._path(key), data)
        except OSError as error:
            raise provider_failed("storage") from error

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None if there are none under this key."""
        try:
            return await asyncio.to_thread(self._path(key).read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise provider_failed("storage") from error

    async def delete(self, key: str) -> None:
        """Deleting what is gone already is fine."""
        try:
            await asyncio.to_thread(self._path(key).unlink, True)
        except OSError as error:
            raise provider_failed("storage") from error


def media_key(media_id: object) -> str:
    return f"media/{media_id}"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    draft.write_bytes(data)
    draft.replace(path)
