"""The store as one folder that every app on the machine can see; knows no vendor."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

from shared.errors import provider_failed
from shared.storage.interface import check_key


class LocalFiles:
    """`<folder>/<key>`; a write is a rename, so it is seen whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        """The type is the row's business: files carry none."""
        try:
            await asyncio.to_thread(_write, self._path(key), content)
        except OSError as error:
            raise self._failure(error) from error

    async def get(self, key: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._path(key).read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure(error) from error

    async def has(self, key: str) -> bool:
        try:
            return await asyncio.to_thread(self._path(key).is_file)
        except OSError as error:
            raise self._failure(error) from error

    async def delete(self, key: str) -> None:
        try:
            await asyncio.to_thread(self._path(key).unlink, missing_ok=True)
        except OSError as error:
            raise self._failure(error) from error

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _failure(self, error: OSError) -> Exception:
        return provider_failed(
            f"the folder {self._folder} cannot be used ({type(error).__name__}); check MEDIA_DIR",
            "storage",
        )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
