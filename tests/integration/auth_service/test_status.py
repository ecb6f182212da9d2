"""GET /api/status of the service: own checks, other apps, and what operators announce."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.auth.app import build
from services.auth.settings import AuthSettings
from tests.support.served_app import served
from tests.support.vendor_service import MANIFEST


def other_app(status: str) -> Starlette:
    async def health(_request: Request) -> JSONResponse:
        return JSONResponse({"status": status}, 503 if status == "unhealthy" else 200)

    return Starlette(routes=[Route("/health", health)])


async def test_the_product_is_asked_where_it_is_served(
    web_settings: Callable[..., AuthSettings], database: asyncpg.Connection
) -> None:
    await database.execute(
        "INSERT INTO strangler.flags (route, service, writes, percent, salt, version) VALUES"
        " ('chat.talk', 'chat', true, 5, '', 1), ('media.list', 'media', false, 0, '', 1),"
        " ('content.search', 'content', false, 100, '', 1)"
    )
    async with (
        served(other_app("degraded")) as chat,
        served(other_app("unhealthy")) as media,
        served(other_app("healthy")) as old,
    ):
        settings = web_settings(
            monolith_url=str(old.base_url),
            chat_url=str(chat.base_url),
            media_url=str(media.base_url),
            content_url="http://127.0.0.1:9",
        )
        async with served(build(settings, MANIFEST)) as client:
            told = (await client.get("/api/status")).json()
    await database.execute("DELETE FROM strangler.flags")
    assert told["domains"] == {
        "auth": "ok",
        "chat": "degraded",
        "payments": "ok",
        "content": "down",
        "media": "ok",
        "community": "ok",
        "analytics": "ok",
    }
    assert told["status"] == "down"


async def test_maintenance_is_told_at_once_and_never_refuses_the_status(
    web_settings: Callable[..., AuthSettings], database: asyncpg.Connection
) -> None:
    async with served(build(web_settings(), MANIFEST)) as client:
        assert (await client.get("/api/status")).json()["status"] == "ok"
        await database.execute(
            "INSERT INTO maintenance_modes (scope, mode, message) VALUES ('all', 'full', 'soon')"
            " ON CONFLICT (scope) DO UPDATE SET mode = 'full', message = 'soon'"
        )
        try:
            answer = await client.get("/api/status")
        finally:
            await database.execute("DELETE FROM maintenance_modes")
    assert answer.status_code == 200
    told = answer.json()
    assert told["status"] == "maintenance"
    assert told["maintenance"] == {
        "mode": "full",
        "scopes": ["all"],
        "message": "soon",
        "until": None,
    }
