"""The service when its table has moved: rows and events there, quotas and people in the shared one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from services.media.app import build
from services.media.settings import MediaSettings
from tests.integration.media.conftest import MANIFEST
from tests.support.own_placement import Databases, two_databases
from tests.support.people import PNG, People, error_code
from tests.support.service_roles import service_role

RESERVATIONS = "SELECT state FROM quota_reservations WHERE user_id = $1 ORDER BY created_at"


@pytest.fixture
async def moved(postgres_url: str) -> AsyncIterator[Databases]:
    async with two_databases(postgres_url, MANIFEST, "media") as databases:
        await databases.move()
        yield databases


@pytest.fixture
async def shared_as_service(moved: Databases) -> AsyncIterator[str]:
    """The shared database with the rights that the service has in production."""
    async with service_role(moved.shared, MANIFEST, "media") as dsn:
        yield dsn


async def test_a_moved_image_lives_in_the_own_database_and_is_paid_in_the_shared_one(
    moved: Databases, shared_as_service: str, web_settings: Callable[..., MediaSettings]
) -> None:
    shared, own = await asyncpg.connect(moved.shared), await asyncpg.connect(moved.own)
    app = build(web_settings(shared_as_service, database_url=SecretStr(moved.own)), MANIFEST)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://media") as client,
    ):
        ana = await People(client, shared).new(tier=1)
        uploaded = await ana.upload()
        made = await ana.post("/api/images/generate", json={"prompt": "a cat"})
        assert made.json()["remaining_quota"] == 4
        failed = await ana.post("/api/images/generate", json={"prompt": "[[fail]]"})
        assert error_code(failed) == "PROVIDER_ERROR"
        listed = (await ana.get("/api/images")).json()["items"]
        assert [image["id"] for image in listed] == [made.json()["id"], uploaded["id"]]
        assert (await client.get(f"/api/images/{uploaded['id']}/content")).content == PNG
        assert (await ana.delete(f"/api/images/{uploaded['id']}")).status_code == 204
    assert await shared.fetchval("SELECT count(*) FROM media_metadata") == 0
    types = [row["type"] for row in await own.fetch("SELECT type FROM outbox ORDER BY id")]
    assert types == ["media.created", "media.created", "media.deleted"]
    assert [row["state"] for row in await shared.fetch(RESERVATIONS, ana.id)] == [
        "settled",
        "refunded",
    ]
    await shared.close()
    await own.close()
