"""`/readyz` shows whether committed events are on their way; an app stays ready without its relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI

from shared.manifest import load_manifest
from shared.settings import AppSettings
from shared.web.app import create_service_app
from shared.web.database import open_app_database
from tests.support.sample_service import client_of, running, sample_router

MANIFEST = load_manifest()


async def test_an_event_that_nobody_takes_shows_and_takes_nobody_down(
    make_settings: Callable[..., AppSettings], sql: asyncpg.Connection
) -> None:
    settings = make_settings()

    @asynccontextmanager
    async def open_media(app: FastAPI) -> AsyncIterator[None]:
        async with open_app_database(app, "media", settings, MANIFEST):
            yield

    app = create_service_app(
        "media", settings=settings, routers=[sample_router([])], lifespan=[open_media]
    )
    async with running(app), client_of(app) as client:

        async def relay() -> tuple[int, bool]:
            answer = await client.get("/readyz")
            return answer.status_code, answer.json()["checks"]["relay"]

        async with asyncio.timeout(30):
            while await relay() != (200, True):  # the placement is known a moment later
                await asyncio.sleep(0.1)
        await sql.execute(
            "INSERT INTO outbox (event_id, type, partition_key, body, created_at)"
            " VALUES (gen_random_uuid(), 't', 'k', '{}', now() - interval '1 h')"
        )
        async with asyncio.timeout(30):
            while await relay() != (200, False):
                await asyncio.sleep(0.1)
    await sql.execute("DELETE FROM outbox")
