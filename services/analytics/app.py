"""Builds the analytics service: its database, its figures, its endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.analytics.endpoints import router
from services.analytics.repository import FigureRepository
from services.analytics.service import AnalyticsService
from services.analytics.settings import AnalyticsSettings
from shared.manifest import Manifest, load_manifest
from shared.web.app import create_service_app
from shared.web.database import open_app_database

NAME = "analytics"


def build(settings: AnalyticsSettings, manifest: Manifest | None = None) -> FastAPI:
    """The app; raises ManifestError when the manifest of the settings cannot be read."""
    known = manifest or load_manifest(settings.manifest)

    @asynccontextmanager
    async def open_analytics(app: FastAPI) -> AsyncIterator[None]:
        async with open_app_database(app, NAME, settings, known) as database:
            app.state.analytics = AnalyticsService(database, FigureRepository(database))
            yield

    return create_service_app(NAME, settings=settings, routers=[router], lifespan=[open_analytics])
