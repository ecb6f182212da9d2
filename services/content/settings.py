"""Settings of the content service and its worker beyond those of every app."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from shared.events.worker import WorkerSettings
from shared.settings import AppSettings, BaseUrl

PORT = 8001


class ContentSettings(AppSettings):
    """Of the web process. A field `manifest` is the variable `MANIFEST`."""

    manifest: Path = Path("migration.toml")


class ContentWorkerSettings(WorkerSettings):
    """Of the worker and of the catalogue's synchronisation, which is off without a key."""

    tmdb_api_key: SecretStr | None = None  # a v3 key or a v4 read token
    tmdb_base_url: BaseUrl = "https://api.themoviedb.org/3"
    tmdb_image_base_url: BaseUrl = "https://image.tmdb.org/t/p/w500"
    tvdb_api_key: SecretStr | None = None
    tvdb_base_url: BaseUrl = "https://api4.thetvdb.com/v4"
    sync_pages: int = Field(default=5, ge=1, le=500)  # of popular movies, and as many of series
    sync_hours: float = Field(default=24.0, gt=0, le=24 * 30)
