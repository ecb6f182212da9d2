"""`python -m services.media.copy_files`: brings the files of MEDIA_DIR into Azure.

For the end of a migration: while the old API runs, files are kept in both stores, and those that
were there before lie in the folder only. Once this ran and the old API is gone, MEDIA_DIR can be
unset. It may be run again and while everything is in use.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from services.media.models import StoredMedia
from services.media.repository import MediaRepository
from services.media.settings import MediaSettings
from shared.errors import OperatorError, PeerError
from shared.manifest import Manifest, load_manifest
from shared.observability.logs import configure_logs
from shared.placement.service import open_service_database
from shared.settings import load_settings
from shared.storage import Storage
from shared.storage.azure import open_azure
from shared.storage.files import LocalFiles

BATCH_ROWS = 200
COPIES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class CopyResult:
    """Files that were copied, that were there already, and that the folder does not have."""

    copied: int = 0
    present: int = 0
    missing: int = 0

    def __str__(self) -> str:
        return (
            f"{self.copied} files copied, {self.present} were there already,"
            f" {self.missing} have a row but no file"
        )


async def copy_files(repository: MediaRepository, old: Storage, new: Storage) -> CopyResult:
    """Put every file that has a row into the new store, unless it is there. Raises PeerError."""
    found: list[str] = []
    after = None
    while rows := await repository.batch(after, BATCH_ROWS):
        found += await _copy_batch(repository, rows, old, new)
        after = rows[-1].id
    return CopyResult(found.count("copied"), found.count("present"), found.count("missing"))


async def _copy_batch(
    repository: MediaRepository, rows: Sequence[StoredMedia], old: Storage, new: Storage
) -> list[str]:
    free = asyncio.Semaphore(COPIES_AT_ONCE)

    async def copy(row: StoredMedia) -> str:
        async with free:
            if await new.has(row.storage_key):
                return "present"
            content = await old.get(row.storage_key)
            if content is None:
                return "missing"
            await new.put(row.storage_key, content, row.content_type)
            if await repository.find(row.id) is None:  # deleted while it was copied
                await new.delete(row.storage_key)
            return "copied"

    return await asyncio.gather(*(copy(row) for row in rows))


async def run(settings: MediaSettings, manifest: Manifest) -> CopyResult:
    """One run with a database of its own. Raises OperatorError without two stores to copy between."""
    secret, folder = settings.azure_storage_connection_string, settings.media_dir
    if secret is None or folder is None:
        raise OperatorError(
            "there is nothing to copy between: set MEDIA_DIR and AZURE_STORAGE_CONNECTION_STRING"
        )
    async with (
        open_service_database("media", settings, manifest) as database,
        open_azure(secret.get_secret_value(), settings.azure_storage_container) as blobs,
    ):
        return await copy_files(MediaRepository(database), LocalFiles(folder), blobs)


def main() -> int:
    """Entry point: 0 everything is there, 1 a store or database failed, 2 wrong settings."""
    try:
        settings = load_settings(MediaSettings)
        configure_logs(settings.log_level, service="media-copy")
        result = asyncio.run(run(settings, load_manifest(settings.manifest)))
    except OperatorError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    except PeerError as error:
        sys.stderr.write(f"the files were not copied: {error.message}\n")
        return 1
    sys.stdout.write(f"{result}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
