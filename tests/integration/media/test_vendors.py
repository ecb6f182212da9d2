"""The service with live providers: OpenAI's and Azure's own SDKs, against stand-ins of the vendors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from migrate.stack.stand_ins.blob import BlobStore, blob_app
from migrate.stack.stand_ins.openai import openai_app
from migrate.stack.stand_ins.pointing import BLOB_ACCOUNT, BLOB_KEY
from migrate.stack.stand_ins.settings import StandInSettings
from services.media.app import build
from services.media.settings import MediaSettings
from tests.integration.media.conftest import MANIFEST
from tests.support.people import PNG, People, Person, error_code
from tests.support.platform_database import platform_database
from tests.support.served_app import served

GENERATE, ANALYZE = "/api/images/generate", "/api/images/analyze"
STAND_INS = StandInSettings(slow_seconds=0.1)


@pytest.fixture
async def ana(
    postgres_url: str, web_settings: Callable[..., MediaSettings]
) -> AsyncIterator[Person]:
    """A paying user of a service whose files lie in the cloud."""
    async with (
        platform_database(postgres_url) as dsn,
        served(openai_app(STAND_INS)) as openai,
        served(blob_app(BlobStore())) as blobs,
    ):
        cloud = (
            f"DefaultEndpointsProtocol=http;AccountName={BLOB_ACCOUNT};AccountKey={BLOB_KEY};"
            f"BlobEndpoint={str(blobs.base_url).rstrip('/')}/{BLOB_ACCOUNT};"
        )
        settings = web_settings(
            dsn,
            providers="live",
            openai_api_key=SecretStr("stand-in"),
            openai_base_url=f"{str(openai.base_url).rstrip('/')}/v1",
            azure_storage_connection_string=SecretStr(cloud),
            media_dir=None,
        )
        app = build(settings, MANIFEST)
        sql = await asyncpg.connect(dsn)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://media") as client,
        ):
            yield await People(client, sql).new(tier=1)
        await sql.close()


async def test_an_image_of_openai_is_kept_in_azure(ana: Person) -> None:
    made = await ana.post(GENERATE, json={"prompt": "a cat", "style": "ink", "size": "512x512"})
    image = made.json()
    assert (made.status_code, image["model"], image["remaining_quota"]) == (201, "gpt-image-1", 4)
    content = await ana.client.get(f"/api/images/{image['id']}/content")
    assert len(content.content) == image["bytes"]
    assert content.headers["content-type"] == image["content_type"]
    seen = await ana.post(ANALYZE, files={"media_id": (None, image["id"])})
    assert (seen.json()["model"], seen.json()["media_id"]) == ("gpt-4o-mini", image["id"])
    assert seen.json()["description"] != ""
    assert (await ana.delete(f"/api/images/{image['id']}")).status_code == 204


async def test_failures_of_the_vendor_have_the_contracts_codes_and_cost_nothing(
    ana: Person,
) -> None:
    for prompt, code in (("[[fail]]", "PROVIDER_ERROR"), ("[[reject]]", "CONTENT_REJECTED")):
        assert error_code(await ana.post(GENERATE, json={"prompt": prompt})) == code
    failed = await ana.post(ANALYZE, files={"file": ("a.png", PNG)}, data={"question": "[[fail]]"})
    assert failed.json()["error"]["details"] == {"provider_kind": "image"}
    made = await ana.post(GENERATE, json={"prompt": "x"})
    assert made.json()["remaining_quota"] == 4


async def test_without_a_key_generation_is_a_failed_provider(
    postgres_url: str, web_settings: Callable[..., MediaSettings]
) -> None:
    async with platform_database(postgres_url) as dsn:
        app = build(web_settings(dsn, providers="live"), MANIFEST)
        sql = await asyncpg.connect(dsn)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://media") as client,
        ):
            ana = await People(client, sql).new(tier=1)
            failed = await ana.post(GENERATE, json={"prompt": "a cat"})
        await sql.close()
    assert error_code(failed) == "PROVIDER_ERROR"
