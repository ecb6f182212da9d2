"""Chooses the store by configuration; knows no domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import Field, SecretStr

from shared.settings import AppSettings
from shared.storage.files import LocalFiles
from shared.storage.interface import Storage
from shared.storage.mirrored import MirroredStorage

DEFAULT_FOLDER = Path("media")


class StorageSettings(AppSettings):
    """Of an app that stores files. A field `media_dir` is the variable `MEDIA_DIR`.

    Without a connection string files lie in MEDIA_DIR. With one they lie in Azure; with both they
    are kept in both, for as long as an app that knows only the folder serves the same clients.
    """

    media_dir: Path | None = None
    azure_storage_connection_string: SecretStr | None = None
    azure_storage_container: str = Field(default="media", pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")


@asynccontextmanager
async def open_storage(settings: StorageSettings) -> AsyncIterator[Storage]:
    """The store while the block runs; nothing connects yet. Raises ValueError for bad settings."""
    secret = settings.azure_storage_connection_string
    if secret is None:
        yield LocalFiles(settings.media_dir or DEFAULT_FOLDER)
        return
    # Azure's library is large: only those who use it wait for it.
    from shared.storage.azure import open_azure

    async with open_azure(secret.get_secret_value(), settings.azure_storage_container) as blobs:
        if settings.media_dir is None:
            yield blobs
        else:
            yield MirroredStorage(blobs, LocalFiles(settings.media_dir))
