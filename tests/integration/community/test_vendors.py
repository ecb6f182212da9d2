"""Stories with live providers: the vendors' own SDKs against stand-ins of the vendors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from migrate.stack.stand_ins.anthropic import anthropic_app
from migrate.stack.stand_ins.openai import openai_app
from migrate.stack.stand_ins.settings import StandInSettings
from services.community.app import build
from tests.integration.community.conftest import MANIFEST, MakeWebSettings
from tests.support.people import People, Person, error_code
from tests.support.platform_database import platform_database
from tests.support.served_app import served

DRAFTS = "/api/story/drafts"
STAND_INS = StandInSettings(slow_seconds=0.1)
KEY = SecretStr("stand-in")


@asynccontextmanager
async def writer(
    dsn: str, web_settings: MakeWebSettings, **changes: object
) -> AsyncIterator[Person]:
    """A user of a service with live providers."""
    async with AsyncExitStack() as stack:
        app = build(web_settings(dsn, providers="live", **changes), MANIFEST)
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://community")
        )
        sql = await asyncpg.connect(dsn)
        stack.push_async_callback(sql.close)
        yield await People(client, sql).new()


@pytest.mark.parametrize(
    "model", ["anthropic:claude-haiku-4-5", "gemini:unknown-here,openai:gpt-4o-mini"]
)
async def test_a_story_is_written_by_the_vendor_that_the_settings_name(
    postgres_url: str, web_settings: MakeWebSettings, model: str
) -> None:
    async with (
        platform_database(postgres_url) as dsn,
        served(anthropic_app(STAND_INS)) as claude,
        served(openai_app(STAND_INS)) as gpt,
        writer(
            dsn,
            web_settings,
            anthropic_api_key=KEY,
            anthropic_base_url=str(claude.base_url),
            openai_api_key=KEY,
            openai_base_url=f"{str(gpt.base_url).rstrip('/')}/v1",
            model_claude_3_haiku=model,
        ) as ana,
    ):
        body = {"characters": ["Ana"], "universe": "Mars", "title": "Given"}
        written = (await ana.post(DRAFTS, json=body)).json()
        assert (written["title"], written["remaining_quota"]) == ("Given", 2)
        assert written["content"]
        for text, code in (("[[fail]]", "PROVIDER_ERROR"), ("[[reject]]", "CONTENT_REJECTED")):
            assert error_code(await ana.post(DRAFTS, json={"characters": [text]})) == code
        own = {"characters": ["Ana"], "title": "T", "content": "Once."}
        assert (await ana.post(DRAFTS, json=own)).json()["remaining_quota"] == 2


async def test_without_a_key_only_the_models_stories_fail(
    postgres_url: str, web_settings: MakeWebSettings
) -> None:
    async with platform_database(postgres_url) as dsn, writer(dsn, web_settings) as ana:
        assert error_code(await ana.post(DRAFTS, json={"characters": ["A"]})) == "PROVIDER_ERROR"
        own = {"characters": ["Ana"], "title": "T", "content": "Once."}
        kept = await ana.post(DRAFTS, json=own)
    assert (kept.status_code, kept.json()["remaining_quota"]) == (201, 3)
