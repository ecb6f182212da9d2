"""Builds the community service: its database, its rooms' hub, its providers, its endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.community.endpoints import ROUTERS
from services.community.live.hub import open_hub
from services.community.owners import open_owners
from services.community.providers.choice import open_providers
from services.community.repository.rooms import RoomRepository
from services.community.service.community import build_community
from services.community.settings import CommunitySettings
from shared.manifest import Manifest, load_manifest
from shared.ratelimit.redis_counter import RedisCounter
from shared.web.app import create_service_app
from shared.web.database import open_app_database
from shared.web.platform import Platform

NAME = "community"


def build(settings: CommunitySettings, manifest: Manifest | None = None) -> FastAPI:
    """The app; raises ManifestError when the manifest of the settings cannot be read."""
    known = manifest or load_manifest(settings.manifest)

    @asynccontextmanager
    async def open_all(app: FastAPI) -> AsyncIterator[None]:
        platform: Platform = app.state.platform

        def is_closed() -> bool:
            return platform.maintenance.mode_of(NAME).name != "off"

        async with (
            open_app_database(app, NAME, settings, known) as database,
            open_owners(settings.owners_url) as owners,
            open_providers(settings) as providers,
            open_hub(
                settings.redis_url.get_secret_value(),
                platform.redis,
                RoomRepository(database).is_member,
                is_closed,
            ) as hub,
        ):
            app.state.community = build_community(
                database,
                hub=hub,
                owners=owners,
                providers=providers,
                counter=RedisCounter(platform.redis),
                settings=settings,
            )
            app.state.health.on_drain(hub.drain)
            yield

    return create_service_app(NAME, settings=settings, routers=ROUTERS, lifespan=[open_all])
