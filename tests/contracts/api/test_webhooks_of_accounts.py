"""Deliveries of identity providers: accounts in step, whatever the order."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Any

import asyncpg
import httpx
import pytest

from tests.contracts.api.deliveries import CLERK, SUPABASE, kinds, status_of
from tests.contracts.api.effects import Workers
from tests.support.people import STANDARD_SECRET, People, as_bytes, error_code, standard_headers

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")


async def test_supabase_events_keep_accounts_in_step_whatever_their_order(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    user = str(uuid.uuid4())

    async def send(kind: str, *wanted: str, **data: Any) -> None:
        message = f"msg_{uuid.uuid4()}"
        body = as_bytes({"type": kind, "data": {"id": user, **data}})
        headers = standard_headers(body, message)
        answer = await client.post(SUPABASE, content=body, headers=headers)
        assert answer.json() == {"received": True, "duplicate": False}
        await status_of(database, message, *(wanted or ("processed",)))

    await send("user.updated", email="s@example.com", user_metadata={"name": "Second"})
    await send("user.created", email="first@example.com", user_metadata={"name": "First"})
    row = await database.fetchrow(
        "SELECT u.email, p.name, u.confirmed FROM users u JOIN user_profiles p ON p.user_id = u.id"
    )
    assert tuple(row) == ("s@example.com", "Second", True)
    await send("user.deleted")
    await send("user.updated", email="s@example.com")
    assert await database.fetchval("SELECT deleted_at IS NOT NULL FROM users") is True
    assert await kinds(database) == ["user.created", "user.deleted"]
    user = str(uuid.uuid4())
    await send("user.deleted", "deferred")


async def test_supabase_database_webhooks_bring_a_token_instead_of_a_signature(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    user = str(uuid.uuid4())
    record = {"id": user, "email": "s@example.com", "raw_user_meta_data": {"name": "Sam"}}
    body = as_bytes({"type": "INSERT", "schema": "auth", "table": "users", "record": record})
    token = {"Authorization": f"Bearer v1,{STANDARD_SECRET}"}
    first = await client.post(SUPABASE, content=body, headers=token)
    again = await client.post(SUPABASE, content=body, headers=token)
    assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, True)
    await status_of(database, f"sha256:{hashlib.sha256(body).hexdigest()}", "processed")
    assert await database.fetchval("SELECT id::text FROM users") == user
    event = as_bytes({"type": "user.deleted", "data": {"id": user}})
    refused = await client.post(SUPABASE, content=event, headers=token)
    assert error_code(refused) == "SIGNATURE_INVALID"


async def test_supabase_hooks_are_answered_and_not_stored(
    client: httpx.AsyncClient, people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new(tier=2)

    async def ask(payload: dict[str, Any]) -> Any:
        body = as_bytes(payload)
        headers = standard_headers(body, "msg")
        return (await client.post(SUPABASE, content=body, headers=headers)).json()

    hook = {"metadata": {"name": "before-user-created"}}
    assert await ask({**hook, "user": {"email": "new@example.com"}}) == {}
    refused = await ask({**hook, "user": {"email": ana.email.upper()}})
    assert refused["error"]["http_code"] == 403
    claims = {"sub": ana.id, "app_metadata": {"provider": "email", "tier": 0}}
    answer = await ask({"user_id": ana.id, "claims": claims, "authentication_method": "password"})
    assert answer["claims"] == {**claims, "app_metadata": {"provider": "email", "tier": 2}}
    assert await database.fetchval("SELECT count(*) FROM webhook_inbox") == 0


async def test_clerk_ids_map_to_ours_whatever_the_order(
    client: httpx.AsyncClient, database: asyncpg.Connection, events: Workers
) -> None:
    async def send(kind: str, *wanted: str, **data: Any) -> None:
        message = f"msg_{uuid.uuid4()}"
        body = as_bytes({"type": kind, "data": data})
        headers = standard_headers(body, message, prefix="svix")
        assert (await client.post(CLERK, content=body, headers=headers)).status_code == 200
        await status_of(database, message, *(wanted or ("processed",)))

    def person(user: str, email: str, first: str = "Cleo") -> dict[str, Any]:
        return {
            "id": user,
            "email_addresses": [
                {"id": "e0", "email_address": "other@example.com"},
                {"id": "e1", "email_address": email},
            ],
            "primary_email_address_id": "e1",
            "first_name": first,
            "last_name": None,
        }

    await send("session.created", "deferred", user_id="user_1")
    await send("user.created", **person("user_1", "c@example.com"))
    row = await database.fetchrow(
        "SELECT u.id, u.email, p.name FROM users u JOIN user_profiles p ON p.user_id = u.id"
    )
    assert (row["email"], row["name"]) == ("c@example.com", "Cleo")
    await database.execute("UPDATE webhook_inbox SET received_at = now() - interval '2 minutes'")
    async with asyncio.timeout(10):
        while "user.logged_in" not in await kinds(database):
            await events.run("webhooks")
            await asyncio.sleep(0.02)
    await send("user.updated", **person("user_1", "d@example.com", "Clea"))
    assert await database.fetchval("SELECT email FROM users") == "d@example.com"
    await send("user.deleted", id="user_1")
    await send("user.updated", **person("user_1", "d@example.com"))
    assert await database.fetchval("SELECT count(*) FROM users WHERE deleted_at IS NULL") == 0
    await send("user.deleted", "deferred", id="user_2")
    await send("user.created", **person("user_2", "e@example.com"))
    assert await database.fetchval("SELECT count(*) FROM users WHERE deleted_at IS NULL") == 0
    assert await kinds(database) == [
        "user.created",
        "user.logged_in",
        "user.updated",
        "user.deleted",
    ]
