"""Cost of verifying one token: cached, and by algorithm, beside PyJWT and python-jose as commonly used.

    make bench-auth

Interleaved rounds in one process; medians. Prints a table and writes .bench/auth.json.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import jwt as pyjwt
import uvloop
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jose import jwt as jose_jwt
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from shared.auth.claims import ClaimRules
from shared.auth.issuers import LEEWAY_SECONDS, supabase_issuer
from shared.auth.key_sources import FixedKeys, PublishedKeys
from shared.auth.keys import hmac_key
from shared.auth.tokens import TokenIssuer
from shared.auth.verifier import Issuer, TokenVerifier

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from tests.support.auth_vectors import SECRETS
from tests.support.issuers import SupabaseStandIn, jwk_of, public_pem

ROUNDS = 15
CACHED_CALLS = 20_000
UNCACHED_CALLS = 200
ISSUER = "https://api.example"
REPORT = Path(".bench/auth.json")

Round = Callable[[], Awaitable[float]]  # gives microseconds per call


def main() -> None:
    figures = uvloop.run(_measure())
    ratios = _ratios(figures)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"figures": figures, "ratios": ratios}, indent=2) + "\n")
    table = Table("what", "microseconds per token")
    for name, value in figures.items():
        table.add_row(name.removesuffix("_us"), f"{value:.2f}")
    Console().print(table)
    Console().print(f"written to {REPORT}")


async def _measure() -> dict[str, float]:
    """Medians over interleaved rounds, in microseconds per token."""
    rounds = await _contestants()
    found: dict[str, list[float]] = {name: [] for name in rounds}
    for _ in range(ROUNDS):
        for name, measure in rounds.items():
            found[name].append(await measure())
    return {name: round(statistics.median(values), 2) for name, values in found.items()}


def _ratios(figures: dict[str, float]) -> dict[str, float]:
    """How many times our figure each peer takes."""
    ratios = {
        f"{peer}_{algorithm}": figures[f"{peer}_{algorithm}_us"] / figures[f"verify_{algorithm}_us"]
        for algorithm in ("hs256", "es256", "rs256")
        for peer in ("pyjwt", "jose_naive")
    }
    ratios["uncached_es256"] = figures["verify_es256_us"] / figures["verify_cached_us"]
    return {name: round(value, 2) for name, value in ratios.items()}


async def _contestants() -> dict[str, Round]:
    stand_in = SupabaseStandIn()

    async def fetch(_url: str) -> bytes:
        return json.dumps(stand_in.key_set()).encode()

    secret = SECRETS["secret"].decode()
    published = PublishedKeys(
        f"{stand_in.url}/jwks", algorithms=frozenset({"ES256", "RS256"}), fetch=fetch
    )
    local = Issuer(
        ClaimRules("local", ISSUER, LEEWAY_SECONDS), {"HS256": FixedKeys([hmac_key(secret)])}
    )
    verifier = TokenVerifier(
        [local, supabase_issuer(stand_in.url, (SecretStr(SECRETS["legacy"].decode()),), published)]
    )
    tokens = {
        "hs256": TokenIssuer(secret, ISSUER).access_token(uuid4(), email="a@example.com"),
        "es256": stand_in.token(),
        "rs256": stand_in.rsa_token(),
    }
    prebuilt = {
        "hs256": secret,
        "es256": load_pem_public_key(public_pem(stand_in.ec_key).encode()),
        "rs256": load_pem_public_key(public_pem(stand_in.rsa_key).encode()),
    }
    naive = {
        "hs256": secret,
        "es256": jwk_of(stand_in.ec_key, "ec-1"),
        "rs256": jwk_of(stand_in.rsa_key, "rsa-1"),
    }
    await verifier.verify(tokens["es256"])
    rounds: dict[str, Round] = {"verify_cached_us": _cached(verifier, tokens["es256"])}
    for algorithm, token in tokens.items():
        options = {"algorithms": [algorithm.upper()], "audience": "authenticated"}
        rounds[f"verify_{algorithm}_us"] = _uncached(verifier, token)
        rounds[f"pyjwt_{algorithm}_us"] = _plain(
            partial(pyjwt.decode, token, prebuilt[algorithm], **options)
        )
        rounds[f"jose_naive_{algorithm}_us"] = _plain(
            partial(jose_jwt.decode, token, naive[algorithm], **options)
        )
    return rounds


def _cached(verifier: TokenVerifier, token: str) -> Round:
    async def measure() -> float:
        await verifier.verify(token)
        # A new string each time, as every request brings one: no cached hash of the text.
        copies = ["".join((token[:9], token[9:])) for _ in range(CACHED_CALLS)]
        started = time.perf_counter()
        for copy in copies:
            await verifier.verify(copy)
        return (time.perf_counter() - started) / CACHED_CALLS * 1e6

    return measure


def _uncached(verifier: TokenVerifier, token: str) -> Round:
    async def measure() -> float:
        spent = 0.0
        for _ in range(UNCACHED_CALLS):
            verifier.forget()
            started = time.perf_counter()
            await verifier.verify(token)
            spent += time.perf_counter() - started
        return spent / UNCACHED_CALLS * 1e6

    return measure


def _plain(decode: Callable[[], object]) -> Round:
    async def measure() -> float:
        started = time.perf_counter()
        for _ in range(UNCACHED_CALLS):
            decode()
        await asyncio.sleep(0)
        return (time.perf_counter() - started) / UNCACHED_CALLS * 1e6

    return measure


if __name__ == "__main__":
    main()
