"""Codes by mail, OpenID providers and Clerk: Supabase's SDK and our verifiers against the stand-ins."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import supabase
from pydantic import SecretStr
from supabase_auth.errors import AuthApiError

from shared.auth.issuers import clerk_issuer
from shared.auth.verifier import TokenVerifier
from shared.errors import CallerError
from shared.webhooks.providers import ClerkReader, RevenueCatReader
from tests.integration.stand_ins.conftest import Receiver
from tests.support.stand_in_process import StandIns

EMAIL, PASSWORD = "ann@example.com", "correct horse"
SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0LTMyLWJ5dGVzLWxvbmc="


@pytest.fixture
async def auth(stand_ins: StandIns) -> AsyncIterator[Any]:
    """`.auth` of the whole Supabase client, as an app builds it."""
    options = supabase.AsyncClientOptions(
        auto_refresh_token=False, persist_session=True, flow_type="pkce"
    )
    key = "sb_secret_stand_in"
    client = await supabase.acreate_client(f"{stand_ins.url}/supabase", key, options=options)
    async with client.auth:
        yield client.auth


def _mailed_code(stand_ins: StandIns) -> str:
    found = re.search(r"\b\d{6}\b", stand_ins.get("/_mail")[-1]["text"])
    assert found is not None
    return found[0]


def _id_token(stand_ins: StandIns, provider: str = "google", **person: object) -> str:
    url = f"{stand_ins.url}/openid/{provider}/id_token"
    return str(httpx.post(url, json={"email": EMAIL, **person}).json()["id_token"])


async def test_sign_up_by_a_code_gives_a_session_only_after_the_code(
    auth: Any, stand_ins: StandIns
) -> None:
    stand_ins.confirm_by_mail()
    made = await auth.sign_up({"email": EMAIL, "password": PASSWORD})
    assert (made.session, made.user.email_confirmed_at) == (None, None)
    with pytest.raises(AuthApiError) as early:
        await auth.sign_in_with_password({"email": EMAIL, "password": PASSWORD})
    assert early.value.code == "email_not_confirmed"
    code = _mailed_code(stand_ins)
    with pytest.raises(AuthApiError) as wrong:
        await auth.verify_otp({"email": EMAIL, "token": "x", "type": "signup"})
    assert wrong.value.code == "otp_expired"
    done = await auth.verify_otp({"email": EMAIL, "token": code, "type": "signup"})
    assert done.session.user.email_confirmed_at is not None
    with pytest.raises(AuthApiError):
        await auth.verify_otp({"email": EMAIL, "token": code, "type": "signup"})


async def test_a_code_signs_known_people_in_and_can_be_sent_again(
    auth: Any, stand_ins: StandIns
) -> None:
    with pytest.raises(AuthApiError) as unknown:
        await auth.sign_in_with_otp({"email": EMAIL, "options": {"should_create_user": False}})
    assert unknown.value.code == "otp_disabled"
    await auth.sign_in_with_otp({"email": EMAIL})
    first = _mailed_code(stand_ins)
    await auth.resend({"type": "signup", "email": EMAIL})
    second = _mailed_code(stand_ins)
    with pytest.raises(AuthApiError):
        await auth.verify_otp({"email": EMAIL, "token": first, "type": "email"})
    assert len(stand_ins.get("/_mail")) == 2
    done = await auth.verify_otp({"email": EMAIL, "token": second, "type": "email"})
    assert done.user.email == EMAIL


@pytest.mark.parametrize("provider", ["google", "apple", "facebook"])
async def test_an_id_token_of_a_provider_signs_in_and_is_linked_by_its_address(
    auth: Any, stand_ins: StandIns, provider: str
) -> None:
    known = await auth.admin.create_user({"email": EMAIL, "email_confirm": True})
    hashed = hashlib.sha256(b"n-1").hexdigest()
    token = _id_token(stand_ins, provider, name="Ann", nonce=hashed)
    signed = await auth.sign_in_with_id_token(
        {"provider": provider, "token": token, "nonce": "n-1"}
    )
    assert signed.user.id == known.user.id
    assert [one.provider for one in signed.user.identities] == [provider]
    assert signed.user.user_metadata["name"] == "Ann"
    for bad in ({"token": token, "nonce": "n-2"}, {"token": token[:-6]}, {"token": "x.y.z"}):
        with pytest.raises(AuthApiError):
            await auth.sign_in_with_id_token({"provider": provider, **bad})


async def test_an_address_that_the_provider_has_not_verified_is_not_confirmed(
    auth: Any, stand_ins: StandIns
) -> None:
    token = _id_token(stand_ins, email_verified=False)
    signed = await auth.sign_in_with_id_token({"provider": "google", "token": token})
    assert signed.user.email_confirmed_at is None


async def test_the_browser_comes_back_with_a_code_that_only_its_client_can_exchange(
    auth: Any, stand_ins: StandIns
) -> None:
    target = "http://localhost:3000/auth/callback?next=/home"
    begun = await auth.sign_in_with_oauth(
        {"provider": "google", "options": {"redirect_to": target}}
    )
    async with httpx.AsyncClient(follow_redirects=False) as browser:
        address = begun.url
        for _ in range(3):
            address = (await browser.get(address)).headers["location"]
    assert address.startswith(f"{target}&code=")
    (code,) = parse_qs(urlsplit(address).query)["code"]
    done = await auth.exchange_code_for_session({"auth_code": code})
    assert done.session.user.app_metadata["provider"] == "google"
    with pytest.raises(AuthApiError):  # once
        await auth.exchange_code_for_session({"auth_code": code, "code_verifier": "x"})


async def test_clerk_tokens_pass_the_verifier_and_an_impersonation_is_seen(
    stand_ins: StandIns, receiver: Receiver
) -> None:
    stand_ins.direct("clerk", receiver.url, SECRET)
    url, headers = f"{stand_ins.url}/clerk", {"authorization": "Bearer sk_test_x"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as clerk:
        user = (await clerk.post("/v1/users", json={"email_address": [EMAIL]})).json()
        verifier = TokenVerifier([clerk_issuer(url, frozenset({"http://localhost:3000"}))])
        for actor in (None, "user_of_support"):
            asked = {"user_id": user["id"], "actor": actor}
            token = (await clerk.post("/_sign_in", json=asked)).json()["jwt"]
            principal = await verifier.verify(token)
            assert (principal.subject, principal.impersonator) == (user["id"], actor)
        asked = {"user_id": user["id"], "azp": "https://evil.example"}
        evil = (await clerk.post("/_sign_in", json=asked)).json()["jwt"]
        with pytest.raises(CallerError):
            await verifier.verify(evil)
        await clerk.patch(f"/v1/users/{user['id']}", json={"first_name": "Ann"})
        await clerk.delete(f"/v1/users/{user['id']}")
        assert (await clerk.get(f"/v1/users/{user['id']}")).status_code == 404
    await receiver.until(lambda: len(receiver.came) == 6)
    reader = ClerkReader([SECRET])
    read = [reader.read(found, body, time.time()) for found, body in receiver.came]
    assert sorted(one.event_type for one in read) == [
        "session.created", "session.created", "session.created",
        "user.created", "user.deleted", "user.updated",
    ]  # fmt: skip


async def test_revenuecat_events_carry_the_configured_value_and_make_a_subscriber(
    stand_ins: StandIns, receiver: Receiver
) -> None:
    stand_ins.direct("revenuecat", receiver.url, "Bearer of the test")
    asked = {"app_user_id": "u1", "product_id": "pro_monthly"}
    async with httpx.AsyncClient(base_url=f"{stand_ins.url}/revenuecat") as sender:
        sent = (await sender.post("/_send", json=asked)).json()
        await sender.post("/_send", json={**asked, "type": "EXPIRATION"})
        await receiver.until(lambda: len(receiver.came) == 2)
        headers = {"authorization": "Bearer key"}
        told = (await sender.get("/v1/subscribers/u1", headers=headers)).json()["subscriber"]
        assert (await sender.get("/v1/subscribers/u1")).status_code == 401
    read = [
        RevenueCatReader([SecretStr("Bearer of the test").get_secret_value()]).read(
            found, body, time.time()
        )
        for found, body in receiver.came
    ]
    assert {one.event_type for one in read} == {"INITIAL_PURCHASE", "EXPIRATION"}
    assert sent["id"] in {one.event_id for one in read}
    assert list(told["subscriptions"]) == ["pro_monthly"]
