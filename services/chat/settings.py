"""Settings of the chat service and its worker beyond those of every app."""

from __future__ import annotations

from pathlib import Path

from shared.storage import StorageSettings

PORT = 8005


class ChatSettings(StorageSettings):
    """Of the web process. A field `manifest` is the variable `MANIFEST`."""

    manifest: Path = Path("migration.toml")
