"""Who deletes the account while a provider works leaves nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import httpx
import pytest

from services.community.app import build as build_community
from services.media.app import build as build_media
from services.media.settings import MediaSettings
from tests.integration.community.conftest import MANIFEST, MakeWebSettings
from tests.support.both_sides import client_of
from tests.support.people import People, error_code
from tests.support.platform_database import platform_database

HELD = "SELECT count(*) FROM quota_reservations WHERE state = 'held'"
SLOW = "[[slow]]"


def files_in(folder: Path) -> list[Path]:
    return [entry for entry in folder.rglob("*") if entry.is_file()]


@pytest.mark.parametrize(
    ("path", "body", "table"),
    [
        ("/api/images/generate", {"prompt": SLOW}, "media_metadata"),
        ("/api/story/drafts", {"characters": [SLOW]}, "stories"),
    ],
)
async def test_what_is_made_for_somebody_who_left_is_not_kept(
    postgres_url: str,
    web_settings: MakeWebSettings,
    tmp_path: Path,
    path: str,
    body: dict[str, object],
    table: str,
) -> None:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(platform_database(postgres_url))
        values = web_settings(dsn)
        if table == "stories":
            app = build_community(values, MANIFEST)
        else:
            media = {**dict(values), "media_dir": tmp_path}
            app = build_media(MediaSettings.model_validate(media), MANIFEST)
        await stack.enter_async_context(app.router.lifespan_context(app))
        client = await stack.enter_async_context(client_of(app))
        sql = await asyncpg.connect(dsn)
        stack.push_async_callback(sql.close)
        ana = await People(client, sql).new(tier=1)
        asking = asyncio.create_task(ana.post(path, json=body))
        async with asyncio.timeout(10):
            while await sql.fetchval(HELD) == 0:
                await asyncio.sleep(0.02)
        await sql.execute("UPDATE users SET deleted_at = now() WHERE id = $1", ana.id)
        answer: httpx.Response = await asking
        assert (answer.status_code, error_code(answer)) == (401, "ACCOUNT_DELETED")
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
        assert await sql.fetchval(HELD) == 0
        assert files_in(tmp_path) == []
