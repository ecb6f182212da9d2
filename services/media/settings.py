"""Settings of the media service and its worker beyond those of every app."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from shared.events.worker import WorkerSettings
from shared.settings import BaseUrl
from shared.storage import StorageSettings

PORT = 8004


class MediaSettings(StorageSettings):
    """Of the web process. A field `manifest` is the variable `MANIFEST`."""

    manifest: Path = Path("migration.toml")
    openai_api_key: SecretStr | None = None  # with PROVIDERS=live; without it providers fail
    openai_base_url: BaseUrl | None = None
    image_model: str = "gpt-image-1"
    vision_model: str = "gpt-4o-mini"


class MediaWorkerSettings(WorkerSettings, StorageSettings):
    """Of the worker, which adopts and erases files."""
