"""Builds the content service: its database, its index, its endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.content.endpoints import router
from services.content.index_keeper import IndexKeeper
from services.content.repository import CatalogueRepository
from services.content.service import ContentService
from services.content.settings import ContentSettings
from shared.manifest import Manifest, load_manifest
from shared.web.app import create_service_app
from shared.web.database import open_app_database

NAME = "content"


def build(settings: ContentSettings, manifest: Manifest | None = None) -> FastAPI:
    """The app; raises ManifestError when the manifest of the settings cannot be read."""
    known = manifest or load_manifest(settings.manifest)

    @asynccontextmanager
    async def open_content(app: FastAPI) -> AsyncIterator[None]:
        async with open_app_database(app, NAME, settings, known) as database:
            index = IndexKeeper(database)
            app.state.content = ContentService(CatalogueRepository(database), index)

            async def index_is_loaded() -> bool:
                return index.is_loaded

            app.state.health.add("index", index_is_loaded, required=True)
            async with index.running():
                yield

    return create_service_app(NAME, settings=settings, routers=[router], lifespan=[open_content])
