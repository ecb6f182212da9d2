"""Builds the media service: its database, its store of files, its providers, its endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.media.endpoints import router
from services.media.providers.choice import open_providers
from services.media.service import MediaService
from services.media.settings import MediaSettings
from shared.manifest import Manifest, load_manifest
from shared.quota import Quotas
from shared.storage import open_storage
from shared.web.app import create_service_app
from shared.web.database import open_app_database

NAME = "media"


def build(settings: MediaSettings, manifest: Manifest | None = None) -> FastAPI:
    """The app; raises ManifestError when the manifest of the settings cannot be read."""
    known = manifest or load_manifest(settings.manifest)

    @asynccontextmanager
    async def open_media(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_app_database(app, NAME, settings, known) as database,
            open_storage(settings) as storage,
            open_providers(settings) as providers,
        ):
            app.state.media = MediaService(
                database,
                storage,
                Quotas(database.shared),
                providers,
                base_url=settings.public_base_url,
            )
            yield

    return create_service_app(NAME, settings=settings, routers=[router], lifespan=[open_media])
