"""`python -m services.content.sync`: brings popular titles of TMDB and TheTVDB into the catalogue.

Also run by the worker by the clock. Without TMDB_API_KEY there is nothing to do.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog

from services.content.catalogue_writer import put_title
from services.content.models import TitleFormat
from services.content.providers.cache import ProviderCache
from services.content.providers.tmdb import Tmdb
from services.content.providers.tvdb import Tvdb
from services.content.settings import ContentWorkerSettings
from shared.errors import OperatorError, PeerError
from shared.manifest import Manifest, load_manifest
from shared.observability.logs import configure_logs
from shared.placement import Database
from shared.placement.service import open_service_database
from shared.settings import load_settings

log = structlog.get_logger(__name__)

FORMATS: tuple[TitleFormat, ...] = ("movie", "series")
#: Titles that may fail in a row before the provider counts as down.
MAX_FAILURES = 5


@dataclass(frozen=True, slots=True)
class SyncResult:
    """How many titles were written and how many could not be read."""

    titles: int
    failed: int


class CatalogueSync:
    """One run reads the popular lists and writes every title on them, each in its own transaction."""

    def __init__(self, database: Database, cache: ProviderCache, tmdb: Tmdb, tvdb: Tvdb | None):
        self._database = database
        self._cache = cache
        self._tmdb = tmdb
        self._tvdb = tvdb

    async def run(self, pages: int) -> SyncResult:
        """Read `pages` pages of movies and of series. Raises PeerError when TMDB is down."""
        await self._cache.forget_expired()
        written = failed = in_a_row = 0
        for format_ in FORMATS:
            for tmdb_id in await self._popular(format_, pages):
                try:
                    written += await self._put(format_, tmdb_id)
                    in_a_row = 0
                except PeerError as error:
                    failed, in_a_row = failed + 1, in_a_row + 1
                    log.warning("title_not_read", tmdb_id=tmdb_id, error=error.message)
                    if in_a_row == MAX_FAILURES:
                        raise
        log.info("catalogue_synchronised", titles=written, failed=failed)
        return SyncResult(written, failed)

    async def _popular(self, format_: TitleFormat, pages: int) -> list[int]:
        ids: list[int] = []
        for page in range(1, pages + 1):
            found = await self._tmdb.popular(format_, page)
            ids += found
            if not found:
                break
        return list(dict.fromkeys(ids))

    async def _put(self, format_: TitleFormat, tmdb_id: int) -> bool:
        facts = await self._tmdb.title(format_, tmdb_id)
        if facts is None:
            return False
        told = await self._tvdb.complete(facts) if self._tvdb is not None else facts
        await self._database.transaction(lambda connection: put_title(connection, told))
        return True


@asynccontextmanager
async def open_sync(
    settings: ContentWorkerSettings, database: Database
) -> AsyncIterator[CatalogueSync | None]:
    """The synchronisation while the block runs; None without a key."""
    if settings.tmdb_api_key is None:
        yield None
        return
    cache = ProviderCache(database)
    async with httpx.AsyncClient() as client:
        tmdb = Tmdb(
            client,
            settings.tmdb_api_key,
            cache,
            base_url=settings.tmdb_base_url,
            image_base_url=settings.tmdb_image_base_url,
        )
        tvdb = None
        if settings.tvdb_api_key is not None:
            tvdb = Tvdb(client, settings.tvdb_api_key, cache, base_url=settings.tvdb_base_url)
        yield CatalogueSync(database, cache, tmdb, tvdb)


async def synchronise(settings: ContentWorkerSettings, manifest: Manifest) -> SyncResult | None:
    """One run with a database of its own; None without a key."""
    async with (
        open_service_database("content", settings, manifest, kind="worker") as database,
        open_sync(settings, database) as sync,
    ):
        return await sync.run(settings.sync_pages) if sync is not None else None


def main() -> int:
    """Entry point: 0 done or nothing to do, 1 a provider or database failed, 2 wrong settings."""
    try:
        settings = load_settings(ContentWorkerSettings)
        manifest = load_manifest(settings.manifest)
    except OperatorError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    configure_logs(settings.log_level, service="content-sync")
    try:
        result = asyncio.run(synchronise(settings, manifest))
    except PeerError as error:
        sys.stderr.write(f"the catalogue was not synchronised: {error.message}\n")
        return 1
    if result is None:
        sys.stdout.write("TMDB_API_KEY is not set: the catalogue stays as it is\n")
    else:
        sys.stdout.write(f"{result.titles} titles written, {result.failed} could not be read\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
