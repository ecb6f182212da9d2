"""Turns tests/contracts/auth_vectors.json into tokens; knows no verifier."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk

from tests.support.issuers import jwk_of, private_pem, public_der, public_pem

FILE = Path(__file__).parents[1] / "contracts" / "auth_vectors.json"

SECRETS = {
    "secret": b"vectors-first-secret-0123456789abcdef",
    "second": b"vectors-second-secret-0123456789abcde",
    "legacy": b"vectors-legacy-secret-0123456789abcde",
    "stranger": b"vectors-nobodys-secret-0123456789abcd",
    "empty": b"",
}
ISSUER = "https://api.example"
SUPABASE_URL = "https://project.example"
CLERK_ISSUER = "https://clerk.example"
PARTY = "https://app.example"
_MOMENT = re.compile(r"\$now(?:([+-])(\d+))?")


@dataclass(frozen=True, slots=True)
class Vector:
    """One token recipe and what becomes of it."""

    group: str
    name: str
    expect: str
    recipe: Mapping[str, Any]

    def token(self, user_id: UUID, now: float | None = None) -> str:
        """The token for an account at a moment (unix seconds)."""
        if "raw" in self.recipe:
            return str(self.recipe["raw"])
        moment = int(time.time() if now is None else now)
        header = _encoded(json.dumps(self.recipe["header"]))
        claims = _encoded(_claims_text(self.recipe["claims"], user_id, moment))
        name, _, treatment = self.recipe["key"].partition(":")
        signature = _signature(name, treatment, f"{header}.{claims}".encode())
        if treatment == "tampered":
            claims = _encoded(_claims_text(self.recipe["claims"], user_id, moment + 1))
        if treatment == "cut":
            signature = signature[:-4]
        return f"{header}.{claims}.{signature}"


def vectors(*groups: str) -> list[Vector]:
    """The vectors of some groups."""
    document = json.loads(FILE.read_text("utf-8"))
    return [
        Vector(group, recipe["name"], recipe["expect"], recipe)
        for group in groups
        for recipe in document["groups"][group]
    ]


@cache
def private_keys() -> Mapping[str, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]:
    """The key pairs of the issuers, made once per process."""
    return {
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "rsa-enc": rsa.generate_private_key(65537, 2048),
        "rsa-small": rsa.generate_private_key(65537, 1024),  # noqa: S505 - must be refused
        "stranger-ec": ec.generate_private_key(ec.SECP256R1()),
        "stranger-rsa": rsa.generate_private_key(65537, 2048),
    }


def key_set() -> dict[str, Any]:
    """What the outside issuers publish: several kinds of keys, and entries nobody can use."""
    keys = private_keys()
    return {
        "keys": [
            {"kty": "oct", "kid": "oct-1", "k": "AAAA"},
            {"kty": "OKP", "kid": "okp-1", "crv": "Ed25519", "x": "AAAA", "use": "sig"},
            {"kty": "EC", "kid": "broken", "crv": "P-256", "x": "!", "y": "!"},
            "nonsense",
            jwk_of(keys["rsa-enc"], "rsa-enc", use="enc"),
            jwk_of(keys["rsa-small"], "rsa-small"),
            jwk_of(keys["rsa"], "rsa-1"),
            jwk_of(keys["ec"], "ec-1"),
        ]
    }


def _claims_text(claims: object, user_id: UUID, now: int) -> str:
    text = json.dumps(_filled(claims, user_id, now))
    nested = "[" * 4000 + "]" * 4000
    return (
        text.replace('"$nested"', nested)
        .replace('"$huge"', "1" + "0" * 400)
        .replace('"$infinity"', "Infinity")
    )


def _filled(value: object, user_id: UUID, now: int) -> object:
    if isinstance(value, dict):
        return {name: _filled(item, user_id, now) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, user_id, now) for item in value]
    if not isinstance(value, str):
        return value
    if moment := _MOMENT.fullmatch(value):
        return now + (int(moment[2]) * (-1 if moment[1] == "-" else 1) if moment[1] else 0)
    words: dict[str, str] = {
        "$user": str(user_id),
        "$USER": str(user_id).upper(),
        "$user_hex": user_id.hex,
        "$issuer": ISSUER,
        "$long": "a" * 13_000,
    }
    return words.get(value, value)


def _signature(name: str, treatment: str, signing_input: bytes) -> str:
    if name == "none":
        return ""
    secrets = SECRETS | {
        "pem-as-secret": public_pem(private_keys()["rsa"]).encode(),
        "der-as-secret": public_der(private_keys()["rsa"]),
    }
    if name in secrets:
        digest = hashlib.sha512 if treatment == "HS512" else hashlib.sha256
        return _encoded(hmac.new(secrets[name], signing_input, digest).digest())
    key = private_keys()[name]
    algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    return _encoded(jwk.construct(private_pem(key), algorithm).sign(signing_input))


def _encoded(value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
