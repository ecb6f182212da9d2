"""Supabase's own SDK against its stand-in, our token verifier and webhook verifier against its output."""

from __future__ import annotations

import time

import pytest
from standardwebhooks import Webhook
from supabase_auth import AsyncGoTrueClient
from supabase_auth.errors import AuthApiError

from shared.auth.issuers import supabase_issuer
from shared.auth.verifier import TokenVerifier
from shared.webhooks.providers import SupabaseReader
from tests.integration.stand_ins.conftest import Receiver
from tests.support.stand_in_process import StandIns

SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0LTMyLWJ5dGVzLWxvbmc="
PASSWORD = "correct horse"


def _client(stand_ins: StandIns, key: str = "sb_secret_stand_in") -> AsyncGoTrueClient:
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    return AsyncGoTrueClient(
        url=f"{stand_ins.url}/supabase/auth/v1", headers=headers, auto_refresh_token=False
    )


async def test_people_sign_up_sign_in_and_refresh_once(stand_ins: StandIns) -> None:
    async with _client(stand_ins) as client:
        up = await client.sign_up(
            {"email": "Ann@example.com", "password": PASSWORD, "options": {"data": {"n": "Ann"}}}
        )
        assert up.user is not None
        assert (up.user.email, up.user.user_metadata) == ("ann@example.com", {"n": "Ann"})
        session = (
            await client.sign_in_with_password({"email": "ann@example.com", "password": PASSWORD})
        ).session
        assert session is not None
        found = await client.get_user(session.access_token)
        assert found is not None
        assert found.user.id == up.user.id
        fresh = (await client.refresh_session(session.refresh_token)).session
        assert fresh is not None
        with pytest.raises(AuthApiError) as caught:
            await client.refresh_session(session.refresh_token)
        assert str(caught.value.code) == "refresh_token_already_used"


async def test_wrong_passwords_and_known_addresses_are_refused(stand_ins: StandIns) -> None:
    async with _client(stand_ins) as client:
        await client.sign_up({"email": "ann@example.com", "password": PASSWORD})
        with pytest.raises(AuthApiError) as known:
            await client.sign_up({"email": "ann@example.com", "password": PASSWORD})
        with pytest.raises(AuthApiError) as wrong:
            await client.sign_in_with_password({"email": "ann@example.com", "password": "wrong"})
    codes = (known.value.code, wrong.value.code)
    assert codes == ("user_already_exists", "invalid_credentials")


async def test_the_verifier_takes_its_tokens_by_the_published_keys(stand_ins: StandIns) -> None:
    async with _client(stand_ins) as client:
        made = await client.sign_up({"email": "ann@example.com", "password": PASSWORD})
        assert made.session is not None
        assert made.user is not None
        claims = await client.get_claims(made.session.access_token)
        assert claims is not None
        assert claims["headers"]["alg"] == "ES256"
    verifier = TokenVerifier([supabase_issuer(f"{stand_ins.url}/supabase", ())])
    identity = await verifier.verify(made.session.access_token)
    assert identity.subject == made.user.id


async def test_an_admin_deletes_a_person_and_their_session(stand_ins: StandIns) -> None:
    async with _client(stand_ins) as client:
        made = await client.sign_up({"email": "ann@example.com", "password": PASSWORD})
        assert made.session is not None
        assert made.user is not None
        await client.admin.delete_user(made.user.id)
        with pytest.raises(AuthApiError) as caught:
            await client.get_user(made.session.access_token)
        assert caught.value.status == 403
    async with _client(stand_ins, "sb_publishable_key") as stranger:
        with pytest.raises(AuthApiError) as refused:
            await stranger.admin.delete_user(made.user.id)
        assert refused.value.code == "not_admin"


async def test_deliveries_keep_their_id_over_tries_and_are_signed_to_standard(
    stand_ins: StandIns, receiver: Receiver
) -> None:
    receiver.statuses = [503]
    stand_ins.direct("supabase", receiver.url, SECRET)
    async with _client(stand_ins) as client:
        made = await client.sign_up({"email": "ann@example.com", "password": PASSWORD})
        await receiver.until(lambda: len(receiver.came) == 2)
        assert made.user is not None
        await client.admin.delete_user(made.user.id)
    await receiver.until(lambda: len(receiver.came) == 3)
    reader = SupabaseReader([SECRET])
    read = [reader.read(headers, body, time.time()) for headers, body in receiver.came]
    assert [one.event_type for one in read] == ["user.created", "user.created", "user.deleted"]
    assert read[0].event_id == read[1].event_id != read[2].event_id
    headers, body = receiver.came[-1]
    assert Webhook(SECRET).verify(body, headers)["data"]["id"] == made.user.id
