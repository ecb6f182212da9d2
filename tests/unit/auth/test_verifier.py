"""The verifier's cache and its choice of issuers."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from shared.auth.admission import bearer_token
from shared.auth.claims import ClaimRules
from shared.auth.dependencies import requires_role, requires_tier
from shared.auth.issuers import clerk_issuer, local_issuer, supabase_issuer, verifier_of
from shared.auth.key_sources import FixedKeys, KeySetTimes, PublishedKeys
from shared.auth.keys import hmac_key
from shared.auth.token_cache import TokenCache
from shared.auth.tokens import TokenIssuer
from shared.auth.verifier import Issuer, TokenVerifier
from shared.errors import CallerError, Code, OperatorError
from shared.settings import AppSettings
from tests.support.issuers import ClerkStandIn, SupabaseStandIn

SECRET = "a-secret-of-more-than-thirty-two-bytes"


class Clock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _local(name: str | None = None) -> Issuer:
    return Issuer(ClaimRules("local", name, 30), {"HS256": FixedKeys([hmac_key(SECRET)])})


async def test_a_token_is_remembered_until_it_expires_or_for_a_minute() -> None:
    clock = Clock()
    verifier = TokenVerifier([_local()], clock=clock)
    issuer = TokenIssuer(SECRET, "x", clock=clock)
    short = issuer.access_token(uuid4(), email=None, lifetime_seconds=20)
    long = issuer.access_token(uuid4(), email=None)
    for token in (short, long):
        await verifier.verify(token)
        assert verifier.remembered(token) is not None
    clock.now += 21
    assert verifier.remembered(short) is None
    assert (await verifier.verify(short)).is_user  # the leeway holds, but nothing is remembered
    assert verifier.remembered(short) is None
    assert verifier.remembered(long) is not None
    clock.now += 40
    assert verifier.remembered(long) is None
    with pytest.raises(CallerError) as caught:
        await verifier.verify(short)
    assert caught.value.code is Code.TOKEN_EXPIRED


async def test_changed_keys_clear_the_memory() -> None:
    stand_in = SupabaseStandIn()
    documents = [stand_in.key_set(), {"keys": stand_in.key_set()["keys"][:1]}]
    clock = Clock(1000.0)

    async def fetch(_url: str) -> bytes:
        return json.dumps(documents[0]).encode()

    published = PublishedKeys(
        "https://x/jwks", algorithms=frozenset({"ES256", "RS256"}), fetch=fetch, clock=clock,
        times=KeySetTimes(),
    )  # fmt: skip
    verifier = TokenVerifier([supabase_issuer(stand_in.url, (), published)])
    token = stand_in.token()
    assert (await verifier.verify(token)).issuer == "supabase"
    documents.pop(0)
    clock.now += 301
    await verifier.verify(stand_in.rsa_token())  # starts the refresh
    await asyncio.sleep(0.01)
    with pytest.raises(CallerError) as caught:
        await verifier.verify(token)  # its key is gone from the set
    assert caught.value.code is Code.TOKEN_INVALID


def test_the_cache_forgets_the_least_recently_used() -> None:
    clock = Clock()
    cache = TokenCache(max_tokens=2, clock=clock)
    principal = _principal(clock)
    cache.put("a", principal)
    cache.put("b", principal)
    cache.get("a")
    cache.put("c", principal)
    assert [cache.get(name) is not None for name in "abc"] == [True, False, True]
    assert len(cache) == 2


def test_the_cache_holds_no_token() -> None:
    clock = Clock()
    cache = TokenCache(clock=clock)
    cache.put("very-secret-token", _principal(clock))
    assert "very-secret-token" not in repr(cache._entries)


def _principal(clock: Clock) -> Any:
    token = TokenIssuer(SECRET, "x", clock=clock).access_token(uuid4(), email=None)
    return asyncio.run(TokenVerifier([_local()], clock=clock).verify(token))


def test_two_issuers_of_one_name_are_an_operators_mistake() -> None:
    with pytest.raises(OperatorError):
        TokenVerifier([_local("x"), _local("x")])


async def test_without_a_local_issuer_unknown_names_are_refused() -> None:
    clerk = ClerkStandIn()
    verifier = TokenVerifier([clerk_issuer(clerk.issuer, frozenset(), clerk.pem)])
    token = clerk.token(azp=...)
    assert (await verifier.verify(token)).subject == "user_2abc"
    stranger = TokenIssuer(SECRET, "x").access_token(uuid4(), email=None)
    with pytest.raises(CallerError):
        await verifier.verify(stranger)


async def test_what_outside_tokens_say_is_carried_over() -> None:
    clerk, supabase = ClerkStandIn(), SupabaseStandIn()
    verifier = TokenVerifier(
        [
            clerk_issuer(clerk.issuer, frozenset({"https://app.example"}), clerk.pem),
            supabase_issuer(supabase.url, (), _fixed(supabase)),
        ]
    )
    acting = await verifier.verify(clerk.token(act={"sub": "user_admin"}))
    assert (acting.impersonator, acting.user_id, acting.issuer) == ("user_admin", None, "clerk")
    guest = await verifier.verify(supabase.token(is_anonymous=True, aal="aal2"))
    assert (guest.is_anonymous, guest.assurance) == (True, "aal2")


def _fixed(supabase: SupabaseStandIn) -> PublishedKeys:
    async def fetch(_url: str) -> bytes:
        return json.dumps(supabase.key_set()).encode()

    return PublishedKeys("https://x/jwks", algorithms=frozenset({"ES256", "RS256"}), fetch=fetch)


def test_the_settings_name_the_issuers() -> None:
    settings = AppSettings(
        shared_database_url="postgresql://h/d",
        redis_url="redis://h",
        rabbitmq_url="amqp://h",
        jwt_secrets=(SECRET, SECRET + "2"),
        supabase_url="https://project.example/",
        supabase_jwt_secrets=(SECRET,),
        clerk_issuer="https://clerk.example",
        clerk_authorized_parties=("https://app.example",),
    )
    verifier = verifier_of(settings)
    assert set(verifier.issuer_names) == {
        None, "https://project.example/auth/v1", "https://clerk.example",
    }  # fmt: skip
    assert local_issuer(settings).rules.leeway_seconds == 30


def test_requires_tier_is_no_decorator() -> None:
    async def endpoint() -> None: ...

    with pytest.raises(TypeError, match=r"Depends\(requires_tier\(1\)\)"):
        requires_tier(endpoint)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        requires_role("admin")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None), ("", None), ("Basic x", None), ("Bearerx", None), ("Bearer", ""),
        ("Bearer a b", "a b"), ("bearer  a ", "a"), ("Bearer Bearer a", "Bearer a"),
    ],
)  # fmt: skip
def test_a_header_is_split_once(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token
