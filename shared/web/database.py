"""The database of a service's web app, and the readiness check that comes with it; knows no table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from shared.events.lag_check import relay_check
from shared.manifest import Manifest
from shared.placement.database import Database
from shared.placement.service import open_service_database
from shared.settings import AppSettings


@asynccontextmanager
async def open_app_database(
    app: FastAPI, name: str, settings: AppSettings, manifest: Manifest
) -> AsyncIterator[Database]:
    """The service's database while the block runs; `/readyz` shows whether its events are on their way.

    A late relay does not make an app unready: another instance would be as late.
    """
    async with open_service_database(name, settings, manifest) as database:
        app.state.health.add("relay", relay_check(database))
        yield database
