"""A service whose tables lie in a database of their own: both databases, and the switch between them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from migrate.commands.db_migrate import prepare_store
from shared.control.model import FlagChange
from shared.control.store import ControlStore
from shared.manifest import Manifest
from shared.placement.migrations import migrate
from shared.states import DataState
from tests.support.platform_database import platform_database


@dataclass(frozen=True)
class Databases:
    """Addresses of the shared database and of the service's own one, both with their tables."""

    service: str
    manifest: Manifest
    shared: str
    own: str

    async def move(self) -> None:
        """Make the own database the owner, with all traffic on the service."""
        store = await ControlStore.connect(self.shared)
        try:
            routes = [route.name for route in self.manifest.routes if route.service == self.service]
            everything = dict.fromkeys(routes, FlagChange(percent=100.0))
            await store.set_flags(everything, actor="tests", reason="test")
            for state in ("copying", "following", "own"):
                await store.set_placement(
                    self.service, DataState(state), actor="tests", reason="test"
                )
        finally:
            await store.close()


@asynccontextmanager
async def two_databases(
    postgres_url: str, manifest: Manifest, service: str
) -> AsyncIterator[Databases]:
    """Fresh databases, dropped afterwards; the shared one owns the tables at first."""
    name = f"test_{service}_{uuid.uuid4().hex[:12]}"
    own = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    async with platform_database(postgres_url) as shared:
        await prepare_store(shared, manifest, actor="tests")
        admin = await asyncpg.connect(postgres_url)
        try:
            await admin.execute(f'CREATE DATABASE "{name}"')
            await migrate(f"services.{service}", own)
            yield Databases(service, manifest, shared, own)
        finally:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await admin.close()
