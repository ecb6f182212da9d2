"""People of Clerk: its deliveries make our accounts, and its tokens open them under our own ids."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import httpx

from services.auth.app import build
from services.auth.settings import AuthSettings
from tests.integration.auth_service.conftest import kinds
from tests.support.people import STANDARD_SECRET, bearer, error_code
from tests.support.served_app import served
from tests.support.stand_in_process import StandIns
from tests.support.vendor_service import MANIFEST, until

ORIGIN = "http://localhost:3000"
EMAIL = "cleo@example.com"


async def test_a_person_of_clerk_comes_changes_and_goes(
    web_settings: Callable[..., AuthSettings], stand_ins: StandIns, database: asyncpg.Connection
) -> None:
    url = f"{stand_ins.url}/clerk"
    settings = web_settings(clerk_issuer=url, clerk_authorized_parties=(ORIGIN,))
    key = {"authorization": "Bearer sk_test_x"}
    async with (
        served(build(settings, MANIFEST)) as client,
        httpx.AsyncClient(base_url=url, headers=key) as clerk,
    ):
        stand_ins.direct("clerk", f"{client.base_url}/api/webhooks/clerk", STANDARD_SECRET)
        person = (await clerk.post("/v1/users", json={"email_address": [EMAIL]})).json()
        signed_in = await clerk.post("/_sign_in", json={"user_id": person["id"]})
        headers = bearer(signed_in.json()["jwt"])

        async def told() -> bool:
            return {"user.created", "user.logged_in"} <= set(await kinds(database))

        await until(told, True)
        shown = (await client.get("/api/auth/users/me", headers=headers)).json()
        assert shown["email"] == EMAIL
        assert shown["id"] == str(await database.fetchval("SELECT id FROM users"))
        synced = await client.post("/api/auth/sync", headers=headers)
        assert (synced.status_code, synced.json()["created"]) == (200, False)

        await clerk.patch(f"/v1/users/{person['id']}", json={"first_name": "Cleo"})

        async def name() -> object:
            return (await client.get("/api/auth/users/me", headers=headers)).json().get("name")

        await until(name, "Cleo")
        await clerk.delete(f"/v1/users/{person['id']}")

        async def refusal() -> str | None:
            answer = await client.get("/api/auth/users/me", headers=headers)
            return None if answer.status_code == 200 else error_code(answer)

        await until(refusal, "ACCOUNT_NOT_PROVISIONED")  # the identity went with the account
    assert await database.fetchval("SELECT deleted_at IS NOT NULL FROM users") is True
