"""Settings of the analytics service beyond those of every app."""

from __future__ import annotations

from pathlib import Path

from shared.settings import AppSettings

PORT = 8007


class AnalyticsSettings(AppSettings):
    """Of the web process. A field `manifest` is the variable `MANIFEST`."""

    manifest: Path = Path("migration.toml")
