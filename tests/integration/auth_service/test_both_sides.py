"""Deliveries that one app stored and the other applies: the same effect, once, whatever the order."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import httpx
import pytest

from monolith.app import build_app
from monolith.settings import Settings
from monolith.webhooks.desk import WebhookDesk
from monolith.worker import Worker
from services.auth.app import build
from services.auth.effects import webhook_effects
from services.auth.settings import AuthSettings
from shared.placement.service import open_service_database
from shared.webhooks import WebhookProcessor
from tests.integration.auth_service.conftest import kinds
from tests.support.people import SECRET, STANDARD_SECRET, as_bytes
from tests.support.served_app import served
from tests.support.vendor_service import MANIFEST, until

SUPABASE = "/api/webhooks/supabase"
TOKEN = {"Authorization": f"Bearer {STANDARD_SECRET}"}


@pytest.fixture
async def processor(
    web_settings: Callable[..., AuthSettings], database: asyncpg.Connection
) -> AsyncIterator[WebhookProcessor]:
    async with open_service_database("auth", web_settings(), MANIFEST) as opened:
        yield WebhookProcessor(opened, webhook_effects())


@pytest.fixture
async def old(dsn: str, database: asyncpg.Connection) -> AsyncIterator[Worker]:
    """The worker of the old API on the same tables."""
    worker = Worker(Settings(database_url=dsn, jwt_secrets=(SECRET,)))
    async with worker.opened():
        yield worker


async def store(
    database: asyncpg.Connection, provider: str, kind: str, by: str, **body: Any
) -> str:
    event_id = f"msg_{uuid.uuid4()}"
    await database.execute(
        "INSERT INTO webhook_inbox (provider, event_id, event_type, raw, received_by)"
        " VALUES ($1, $2, $3, $4, $5)",
        provider,
        event_id,
        kind,
        json.dumps({"type": kind, **body}).encode(),
        by,
    )
    return event_id


async def status(database: asyncpg.Connection, event_id: str) -> Any:
    return await database.fetchval("SELECT status FROM webhook_inbox WHERE event_id = $1", event_id)


async def test_a_row_of_supabase_keeps_the_type_that_the_old_api_understands(
    web_settings: Callable[..., AuthSettings], database: asyncpg.Connection, old: Worker
) -> None:
    user_id = str(uuid.uuid4())
    record = {"id": user_id, "email": "s@example.com", "raw_user_meta_data": {"name": "Sam"}}
    table = {"schema": "auth", "table": "users"}
    await database.execute(
        "INSERT INTO maintenance_modes (scope, mode) VALUES ('auth', 'read_only')"
        " ON CONFLICT (scope) DO UPDATE SET mode = 'read_only'"
    )
    try:
        async with served(build(web_settings(), MANIFEST)) as client:
            await _until_read_only(client)
            for body in (
                {"type": "INSERT", **table, "record": record},
                {"type": "INSERT", **table, "table": "sessions", "record": {"id": user_id}},
            ):
                answer = await client.post(SUPABASE, content=as_bytes(body), headers=TOKEN)
                assert answer.json() == {"received": True, "duplicate": False}
    finally:
        await database.execute("DELETE FROM maintenance_modes")
    rows = await database.fetch("SELECT event_type, received_by FROM webhook_inbox ORDER BY 1")
    assert [tuple(row) for row in rows] == [("INSERT", "service"), ("INSERT:sessions", "service")]
    await old.context.part(WebhookDesk).apply_due(old.context)
    assert str(await database.fetchval("SELECT id FROM users")) == user_id
    assert await kinds(database) == ["user.created"]


async def _until_read_only(client: httpx.AsyncClient) -> None:
    async def mode() -> object:
        return (await client.post("/api/auth/refresh", json={"refresh_token": "x"})).status_code

    await until(mode, 503)


async def test_both_apps_at_once_apply_a_delivery_once(
    database: asyncpg.Connection, processor: WebhookProcessor, old: Worker
) -> None:
    desk = old.context.part(WebhookDesk)
    ids = []
    for number in range(6):
        data = {"id": str(uuid.uuid4()), "email": f"p{number}@example.com"}
        by = "service" if number % 2 else "monolith"
        ids.append(await store(database, "supabase", "user.created", by, data=data))
    await asyncio.gather(
        *(desk.apply(old.context, "supabase", event_id) for event_id in ids),
        *(processor.process("supabase", event_id) for event_id in ids),
    )
    await desk.apply_due(old.context)
    assert {await status(database, event_id) for event_id in ids} == {"processed"}
    assert await kinds(database) == ["user.created"] * 6


async def test_what_the_service_applies_frees_what_waited_in_the_old_api(
    database: asyncpg.Connection, processor: WebhookProcessor, old: Worker
) -> None:
    login = await store(database, "clerk", "session.created", "service", data={"user_id": "u_1"})
    await old.context.part(WebhookDesk).apply(old.context, "clerk", login)
    assert await status(database, login) == "deferred"
    person = {"id": "u_1", "email_addresses": [{"id": "e", "email_address": "c@example.com"}]}
    made = await store(database, "clerk", "user.created", "service", data=person)
    await processor.process("clerk", made)
    assert await status(database, login) == "processed"
    assert await kinds(database) == ["user.created", "user.logged_in"]


async def test_a_session_of_one_app_is_renewed_and_ended_by_the_other(
    web_settings: Callable[..., AuthSettings], dsn: str, database: asyncpg.Connection
) -> None:
    old_app = build_app(Settings(database_url=dsn, jwt_secrets=(SECRET,), rate_limits={}))
    async with AsyncExitStack() as stack:
        new = await stack.enter_async_context(served(build(web_settings(), MANIFEST)))
        await stack.enter_async_context(old_app.router.lifespan_context(old_app))
        before = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(old_app), base_url="http://old")
        )
        body = {"email": "a@example.com", "password": "secret-word"}
        await before.post("/api/auth/create-account", json=body)
        code = {"email": "a@example.com", "code": "000000"}
        session = (await new.post("/api/auth/verify-otp", json=code)).json()
        assert (await before.post("/api/auth/login", json=body)).status_code == 200
        assert (await new.post("/api/auth/login", json=body)).status_code == 200
        for app in (before, new, before):
            token = {"refresh_token": session["refresh_token"]}
            session = (await app.post("/api/auth/refresh", json=token)).json()
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        shown = [(await app.get("/api/auth/users/me", headers=headers)) for app in (before, new)]
        assert shown[0].json() == shown[1].json()
        assert shown[0].headers["etag"] == shown[1].headers["etag"]
        assert (await new.post("/api/auth/logout", headers=headers)).status_code == 204
        token = {"refresh_token": session["refresh_token"]}
        assert (await before.post("/api/auth/refresh", json=token)).status_code == 401
