"""The service with the vendors' own clients against their stand-ins: Supabase Auth, SendGrid, SMTP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from services.auth.app import build
from services.auth.settings import AuthSettings
from tests.integration.auth_service.conftest import kinds
from tests.support.people import STANDARD_SECRET, bearer, error_code
from tests.support.served_app import served
from tests.support.stand_in_process import StandIns
from tests.support.vendor_service import MANIFEST, until

ANN = "ann@example.com"
PASSWORD = "correct horse"
ADMIN = {"Authorization": "Bearer sb_secret_stand_in", "apikey": "sb_secret_stand_in"}


def live(stand_ins: StandIns, **more: Any) -> dict[str, Any]:
    return {
        "providers": "live",
        "supabase_url": f"{stand_ins.url}/supabase",
        "supabase_anon_key": SecretStr("sb_publishable_stand_in"),
        "supabase_service_key": SecretStr("sb_secret_stand_in"),
        "auth_backend": "supabase",
        **more,
    }


@pytest.fixture
async def hosted(
    web_settings: Callable[..., AuthSettings],
    stand_ins: StandIns,
    database: asyncpg.Connection,
) -> AsyncIterator[httpx.AsyncClient]:
    """The service whose passwords and codes are Supabase's; its webhooks come to the service."""
    async with served(build(web_settings(**live(stand_ins)), MANIFEST)) as client:
        url = f"{client.base_url}/api/webhooks/supabase"
        stand_ins.direct("supabase", url, STANDARD_SECRET)
        yield client


def newest_code(stand_ins: StandIns) -> str:
    found = re.findall(r"code is (\d{6})", str(stand_ins.get("/_mail")))
    return str(found[-1])


async def sign_up(client: httpx.AsyncClient, stand_ins: StandIns, **more: Any) -> Any:
    body = {"email": ANN, "password": PASSWORD, "name": "Ann", **more}
    made = await client.post("/api/auth/create-account", json=body)
    assert made.status_code == 201, made.text
    body = {"email": ANN, "code": newest_code(stand_ins)}
    answer = await client.post("/api/auth/verify-otp", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["id"] == made.json()["user_id"]
    return answer.json()


async def people_at_supabase(stand_ins: StandIns) -> list[Any]:
    async with httpx.AsyncClient(headers=ADMIN) as client:
        answer = await client.get(f"{stand_ins.url}/supabase/auth/v1/admin/users")
    return list(answer.json()["users"])


async def test_a_hosted_account_lives_from_its_code_to_its_deletion(
    hosted: httpx.AsyncClient, stand_ins: StandIns, database: asyncpg.Connection
) -> None:
    wrong = {"email": ANN, "password": "wrong-word"}
    assert error_code(await hosted.post("/api/auth/login", json=wrong)) == "CREDENTIALS_INVALID"
    session = await sign_up(hosted, stand_ins)
    assert (session["user"]["name"], session["user"]["confirmed"]) == ("Ann", True)
    assert [one["id"] for one in await people_at_supabase(stand_ins)] == [session["user"]["id"]]
    taken = await hosted.post("/api/auth/create-account", json={"email": ANN})
    assert error_code(taken) == "EMAIL_TAKEN"
    assert error_code(await hosted.post("/api/auth/login", json=wrong)) == "CREDENTIALS_INVALID"
    login = {"email": ANN, "password": PASSWORD}
    assert (await hosted.post("/api/auth/login", json=login)).status_code == 200

    headers = bearer(session["access_token"])
    details = {"password": "another-horse"}
    changed = await hosted.put("/api/auth/users/me/details", json=details, headers=headers)
    assert changed.status_code == 200
    assert (await hosted.post("/api/auth/login", json=login)).status_code == 401
    mailed = await hosted.post("/api/auth/login", json={"email": ANN})
    assert mailed.status_code == 202
    code = {"email": ANN, "code": newest_code(stand_ins)}
    assert (await hosted.post("/api/auth/verify-otp", json=code)).status_code == 200
    assert error_code(await hosted.post("/api/auth/verify-otp", json=code)) == "OTP_INVALID"

    assert await database.fetchval("SELECT password_hash FROM users") is None
    assert (await hosted.delete("/api/auth/users/me", headers=headers)).status_code == 204
    assert await people_at_supabase(stand_ins) == []
    assert (await kinds(database)).count("user.created") == 1
    assert (await kinds(database)).count("user.deleted") == 1


async def test_an_unproven_sign_up_may_be_posted_again_and_the_last_password_counts(
    hosted: httpx.AsyncClient, stand_ins: StandIns, database: asyncpg.Connection
) -> None:
    first = {"email": ANN, "password": "the-word-of-a-stranger"}
    before = await hosted.post("/api/auth/create-account", json=first)
    early = await hosted.post("/api/auth/login", json=first)
    assert early.status_code in (401, 403)
    session = await sign_up(hosted, stand_ins)
    assert session["user"]["id"] == before.json()["user_id"]
    assert (await hosted.post("/api/auth/login", json=first)).status_code == 401
    login = {"email": ANN, "password": PASSWORD}
    assert (await hosted.post("/api/auth/login", json=login)).status_code == 200


async def test_whoever_supabase_has_not_confirmed_does_not_hold_the_address(
    hosted: httpx.AsyncClient, stand_ins: StandIns, database: asyncpg.Connection
) -> None:
    url = f"{stand_ins.url}/supabase/auth/v1/admin/users"
    async with httpx.AsyncClient(headers=ADMIN) as admin:
        made = (await admin.post(url, json={"email": ANN, "password": "not-hers"})).json()

    async def known() -> bool:
        return bool(await database.fetchval("SELECT confirmed FROM users"))

    await until(known, True)  # the webhook about the new person came first
    session = await sign_up(hosted, stand_ins)
    assert session["user"]["id"] == made["id"]
    taken = await hosted.post("/api/auth/create-account", json={"email": ANN})
    assert error_code(taken) == "EMAIL_TAKEN"
    assert (await kinds(database)).count("user.created") == 1


async def test_addresses_that_nobody_has_get_the_same_answer_and_no_mail(
    hosted: httpx.AsyncClient, stand_ins: StandIns
) -> None:
    answer = await hosted.post("/api/auth/login", json={"email": "nobody@example.com"})
    assert (answer.status_code, answer.json()["status"]) == (202, "otp_sent")
    assert stand_ins.get("/_mail") == []


async def test_an_account_of_before_goes_on_with_its_own_password(
    hosted: httpx.AsyncClient,
    stand_ins: StandIns,
    database: asyncpg.Connection,
    web_settings: Callable[..., AuthSettings],
) -> None:
    async with served(build(web_settings(), MANIFEST)) as local:
        body = {"email": ANN, "password": PASSWORD}
        await local.post("/api/auth/create-account", json=body)
        await local.post("/api/auth/verify-otp", json={"email": ANN, "code": "000000"})
    answer = await hosted.post("/api/auth/login", json=body)
    assert answer.status_code == 200
    assert await people_at_supabase(stand_ins) == []


async def test_supabase_checks_the_tokens_of_other_providers(
    hosted: httpx.AsyncClient, stand_ins: StandIns, database: asyncpg.Connection
) -> None:
    async with httpx.AsyncClient(base_url=stand_ins.url) as google:
        person = {"email": "gil@example.com", "name": "Gil"}
        minted = await google.post("/openid/google/id_token", json=person)
    body = {"id_token": minted.json()["id_token"]}
    first = await hosted.post("/api/auth/oauth/google", json=body)
    assert first.status_code == 200, first.text
    assert first.json()["user"]["email"] == "gil@example.com"
    again = await hosted.post("/api/auth/oauth/google", json=body)
    assert (again.status_code, again.json()["created"]) == (200, False)
    forged = await hosted.post("/api/auth/oauth/apple", json=body)
    assert (forged.status_code, error_code(forged)) == (401, "CREDENTIALS_INVALID")


async def test_an_unreachable_supabase_is_a_failed_provider(
    web_settings: Callable[..., AuthSettings],
    stand_ins: StandIns,
    database: asyncpg.Connection,
) -> None:
    settings = web_settings(**live(stand_ins, supabase_url="http://127.0.0.1:9"))
    async with served(build(settings, MANIFEST)) as client:
        for path, body in (
            ("/api/auth/create-account", {"email": ANN}),
            ("/api/auth/oauth/google", {"id_token": "x.y.z"}),
        ):
            answer = await client.post(path, json=body)
            assert (answer.status_code, error_code(answer)) == (502, "PROVIDER_ERROR")
    assert await database.fetchval("SELECT count(*) FROM users") == 0


async def test_deliveries_of_supabase_make_and_end_accounts(
    hosted: httpx.AsyncClient, stand_ins: StandIns, database: asyncpg.Connection
) -> None:
    person = {"email": ANN, "email_confirm": True, "user_metadata": {"name": "Ann"}}
    url = f"{stand_ins.url}/supabase/auth/v1/admin/users"
    async with httpx.AsyncClient(headers=ADMIN) as admin:
        made = (await admin.post(url, json=person)).json()

        async def living() -> list[str]:
            rows = await database.fetch("SELECT id FROM users WHERE deleted_at IS NULL")
            return [str(row["id"]) for row in rows]

        await until(living, [made["id"]])
        await admin.delete(f"{url}/{made['id']}")
        await until(living, [])
    assert await kinds(database) == ["user.created", "user.deleted"]


@pytest.mark.parametrize("carrier", ["sendgrid", "smtp", "folder"])
async def test_codes_leave_by_the_carrier_that_is_configured(
    web_settings: Callable[..., AuthSettings],
    stand_ins: StandIns,
    database: asyncpg.Connection,
    tmp_path: Path,
    carrier: str,
) -> None:
    carriers: dict[str, dict[str, Any]] = {
        "sendgrid": {
            "sendgrid_api_key": SecretStr("SG.stand-in"),
            "sendgrid_base_url": f"{stand_ins.url}/sendgrid",
        },
        "smtp": {"smtp_host": "127.0.0.1", "smtp_port": stand_ins.smtp_port},
        "folder": {"mail_dir": tmp_path / "mail"},
    }
    settings = web_settings(providers="live", smtp_from="us@example.com", **carriers[carrier])
    async with served(build(settings, MANIFEST)) as client:
        made = await client.post("/api/auth/create-account", json={"email": ANN})
        assert made.status_code == 201, made.text
        sent = str(stand_ins.get("/_mail"))
        if carrier == "folder":
            sent = "".join(one.read_text() for one in (tmp_path / "mail").iterdir())
        code = re.findall(r"code is (\d{6})", sent)[-1]
        answer = await client.post("/api/auth/verify-otp", json={"email": ANN, "code": code})
        assert answer.status_code == 200


async def test_mail_that_cannot_leave_is_a_failed_provider(
    web_settings: Callable[..., AuthSettings],
    stand_ins: StandIns,
    database: asyncpg.Connection,
) -> None:
    for mail in ({}, {"smtp_host": "127.0.0.1", "smtp_port": 9}):
        settings = web_settings(providers="live", **mail)
        async with served(build(settings, MANIFEST)) as client:
            answer = await client.post("/api/auth/create-account", json={"email": ANN})
        assert (answer.status_code, error_code(answer)) == (502, "PROVIDER_ERROR")
        assert answer.json()["error"]["details"] == {"provider_kind": "mail"}
