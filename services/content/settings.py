"""Settings of the content service beyond those of every app."""

from __future__ import annotations

from pathlib import Path

from shared.settings import AppSettings

PORT = 8001


class ContentSettings(AppSettings):
    """A field `manifest` is the variable `MANIFEST`."""

    manifest: Path = Path("migration.toml")
