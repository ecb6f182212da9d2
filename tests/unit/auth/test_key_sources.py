"""Published key sets: one fetch at a time, kept, refreshed, survived without; no network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.auth.key_sources import KeySetTimes, PublishedKeys
from shared.auth.keys import KeyMaterialError, check_backend, hmac_key, keys_of_set, pem_key
from shared.errors import PeerError
from tests.support.auth_vectors import key_set, private_keys
from tests.support.issuers import jwk_of, public_der, public_pem

URL = "https://issuer.example/jwks.json"


class Publisher:
    """The issuer's server: what it serves, how often it was asked, whether it is down."""

    def __init__(self) -> None:
        self.document: Any = {"keys": [jwk_of(private_keys()["ec"], "one")]}
        self.asked = 0
        self.is_down = False
        self.gate: asyncio.Event | None = None

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.is_down:
            raise OSError("no route")
        return json.dumps(self.document).encode()


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(publisher: Publisher, clock: Callable[[], float]) -> PublishedKeys:
    return PublishedKeys(
        URL,
        algorithms=frozenset({"ES256"}),
        times=KeySetTimes(),
        fetch=publisher.fetch,
        clock=clock,
    )


async def test_many_requests_at_once_fetch_once(keys: PublishedKeys, publisher: Publisher) -> None:
    publisher.gate = asyncio.Event()
    asking = [asyncio.create_task(keys.candidates("one")) for _ in range(50)]
    await asyncio.sleep(0)
    publisher.gate.set()
    found = await asyncio.gather(*asking)
    assert all(len(one) == 1 for one in found)
    assert publisher.asked == 1


async def test_a_request_that_is_cancelled_does_not_stop_the_fetch_of_others(
    keys: PublishedKeys, publisher: Publisher
) -> None:
    publisher.gate = asyncio.Event()
    first = asyncio.create_task(keys.candidates("one"))
    second = asyncio.create_task(keys.candidates("one"))
    await asyncio.sleep(0)
    first.cancel()
    publisher.gate.set()
    assert len(await second) == 1
    assert publisher.asked == 1


async def test_random_key_ids_cannot_make_us_ask_the_issuer_often(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    for number in range(500):
        assert await keys.candidates(f"random-{number}") == ()
    assert publisher.asked == 2  # the first look at the set, and one more for the unknown id
    clock.now += 1
    for number in range(500):
        assert await keys.candidates(f"other-{number}") == ()
    assert publisher.asked == 2
    clock.now += 28
    await keys.candidates("again")
    assert publisher.asked == 2
    clock.now += 3
    await keys.candidates("random-1")  # known to be unknown for 60 s
    assert publisher.asked == 2
    await keys.candidates("another")
    assert publisher.asked == 3


async def test_a_new_key_is_found_at_once_by_its_id(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    assert len(await keys.candidates("one")) == 1
    generation = keys.generation
    publisher.document["keys"].append(jwk_of(private_keys()["stranger-ec"], "two"))
    clock.now += 1
    assert len(await keys.candidates("two")) == 1
    assert keys.generation == generation + 1


async def test_a_set_is_refreshed_beside_requests_then_before_them(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    await keys.candidates("one")
    publisher.document = {"keys": [jwk_of(private_keys()["stranger-ec"], "two")]}
    clock.now += 301
    assert len(await keys.candidates("one")) == 1  # the old set still serves this request
    await asyncio.sleep(0.01)
    assert await keys.candidates("one") == ()
    publisher.document = {"keys": [jwk_of(private_keys()["ec"], "one")]}
    clock.now += 601
    assert len(await keys.candidates("one")) == 1
    assert await keys.candidates("two") == ()


async def test_an_unchanged_set_keeps_its_generation(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    await keys.candidates("one")
    generation = keys.generation
    clock.now += 700
    await keys.candidates("one")
    assert (keys.generation, publisher.asked) == (generation, 2)


async def test_an_outage_of_a_day_is_survived_and_then_it_is_503(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    await keys.candidates("one")
    publisher.is_down = True
    clock.now += 80_000
    assert len(await keys.candidates("one")) == 1
    asked = publisher.asked
    assert len(await keys.candidates("one")) == 1
    assert publisher.asked == asked  # not again within five seconds
    clock.now += 10_000
    with pytest.raises(PeerError) as caught:
        await keys.candidates("one")
    assert (caught.value.status, caught.value.retry_after) == (503, 5)


@pytest.mark.parametrize("document", ["nonsense", [], {"keys": 7}, {}, None])
async def test_without_any_usable_key_nobody_is_signed_out(
    keys: PublishedKeys, publisher: Publisher, clock: Clock, document: Any
) -> None:
    publisher.is_down = True
    with pytest.raises(PeerError):
        await keys.candidates("one")
    assert publisher.asked == 1
    with pytest.raises(PeerError):
        await keys.candidates("one")
    assert publisher.asked == 1
    publisher.is_down, publisher.document = False, document
    clock.now += 6
    with pytest.raises(PeerError):
        await keys.candidates("one")
    publisher.document = {"keys": [jwk_of(private_keys()["ec"], "one")]}
    clock.now += 6
    assert len(await keys.candidates("one")) == 1


async def test_a_set_that_loses_all_its_keys_is_not_believed(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    await keys.candidates("one")
    publisher.document = {"keys": []}
    clock.now += 700
    assert len(await keys.candidates("one")) == 1


async def test_keys_of_another_algorithm_are_left_out(publisher: Publisher, clock: Clock) -> None:
    publisher.document = key_set()
    keys = PublishedKeys(URL, algorithms=frozenset({"RS256"}), fetch=publisher.fetch, clock=clock)
    assert len(await keys.candidates("rsa-1")) == 1
    for kid in ("ec-1", "rsa-enc", "rsa-small", "oct-1", "okp-1", "broken", None):
        assert await keys.candidates(kid) == ()


@pytest.mark.parametrize(
    "url", ["http://issuer.example/x", "file:///etc/passwd", "ftp://x/y", "issuer.example"]
)
def test_keys_are_only_fetched_over_https(url: str) -> None:
    with pytest.raises(KeyMaterialError):
        PublishedKeys(url, algorithms=frozenset({"RS256"}))


def test_a_secret_must_be_long_and_must_not_be_a_public_key() -> None:
    rsa_key = private_keys()["rsa"]
    for bad in ("", "a" * 31, public_pem(rsa_key), "ssh-rsa " + "A" * 40):
        with pytest.raises(KeyMaterialError) as caught:
            hmac_key(bad)
        assert not bad or bad not in str(caught.value)
    assert hmac_key("a" * 32).algorithm == "HS256"
    assert "aaaa" not in repr(hmac_key("a" * 32))


def test_der_bytes_as_a_secret_are_refused() -> None:
    der = public_der(private_keys()["ec"]).decode("latin-1")
    raw = der.encode("latin-1")
    assert len(raw) > 32
    # A setting is text; bytes above 127 change when they are encoded, so DER can only come through
    # when all of them are ASCII. The check is on the bytes that would be used.
    with pytest.raises(KeyMaterialError):
        hmac_key_of_bytes(raw)


def hmac_key_of_bytes(raw: bytes) -> None:
    class Text(str):
        def encode(self, *_: object) -> bytes:  # type: ignore[override]
            return raw

    hmac_key(Text("x"))


def test_a_pem_key_must_be_what_it_is_used_as() -> None:
    keys = private_keys()
    assert pem_key(public_pem(keys["rsa"]), "RS256").algorithm == "RS256"
    for pem in (public_pem(keys["ec"]), public_pem(keys["rsa-small"]), "nonsense"):
        with pytest.raises(KeyMaterialError):
            pem_key(pem, "RS256")


def test_the_back_end_of_the_library_is_the_fast_and_safe_one() -> None:
    check_backend()


def test_entries_that_cannot_be_used_are_left_out_of_a_set() -> None:
    assert {key.kid for key in keys_of_set(key_set())} == {"rsa-1", "ec-1"}
