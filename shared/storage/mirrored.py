"""Two stores that hold the same files, while one app knows only the older of them; knows no vendor."""

from __future__ import annotations

from shared.storage.interface import Storage


class MirroredStorage:
    """Writes go to both, the old store first; reads ask the new one, then the old one.

    For the time of a migration: the old app reads and writes the old store only, and any request
    may go to either app.
    """

    def __init__(self, new: Storage, old: Storage) -> None:
        self._new = new
        self._old = old

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        await self._old.put(key, content, content_type)
        try:
            await self._new.put(key, content, content_type)
        except BaseException:
            await self._old.delete(key)
            raise

    async def get(self, key: str) -> bytes | None:
        found = await self._new.get(key)
        return found if found is not None else await self._old.get(key)

    async def has(self, key: str) -> bool:
        return await self._new.has(key) or await self._old.has(key)

    async def delete(self, key: str) -> None:
        await self._new.delete(key)
        await self._old.delete(key)
