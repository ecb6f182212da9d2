"""Keeps what the sources say, and never lets a reply wait for them for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from services.chat.providers.backgrounds.sources import Source, SourceError
from shared.cache import CATALOGUE, Cache

log = structlog.get_logger(__name__)

#: How long a reply waits for a background that is not kept yet; a later one gets it then.
WAIT_SECONDS = 1.0
#: A source that failed is asked again after this time.
FAILED_SECONDS = 60
TEXT_MAX = 1500  # characters, for it stands in every prompt


class KnownBackgrounds:
    """Backgrounds by name and series, for a week in Redis."""

    def __init__(
        self, cache: Cache, sources: Sequence[Source], *, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._cache = cache
        self._sources = sources
        self._wait_seconds = wait_seconds
        self._asking: dict[tuple[str, str], asyncio.Task[str]] = {}

    async def of(self, name: str, series: str) -> str:
        key = (name.casefold(), series.casefold())
        kept = await self._cache.get(CATALOGUE, "background", *key)
        if isinstance(kept, str):
            return kept
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(name, series, key), name="background")
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        done, _ = await asyncio.wait({task}, timeout=self._wait_seconds)
        return task.result() if done else ""

    async def aclose(self) -> None:
        """Give up what is still being asked."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, name: str, series: str, key: tuple[str, str]) -> str:
        answers = await asyncio.gather(
            *(source.about(name, series) for source in self._sources), return_exceptions=True
        )
        texts: list[str] = []
        failed = False
        for answer in answers:
            if isinstance(answer, str):
                texts.append(answer)
            elif isinstance(answer, SourceError):
                failed = True
                log.warning("background_source_failed", reason=str(answer))
            else:
                raise answer
        text = "\n".join(filter(None, texts))[:TEXT_MAX]
        ttl = FAILED_SECONDS if failed else None
        await self._cache.put(CATALOGUE, "background", *key, value=text, ttl_seconds=ttl)
        return text
