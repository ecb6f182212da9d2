"""Issuers of tokens for tests: key pairs, key sets and signers of Supabase and Clerk tokens."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk, jwt

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def private_pem(key: PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem(key: PrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def public_der(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def jwk_of(key: PrivateKey, kid: str, **changes: Any) -> dict[str, Any]:
    """The public key as an entry of a key set."""
    algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    entry = jwk.construct(public_pem(key), algorithm).to_dict()
    plain = {k: v.decode() if isinstance(v, bytes) else v for k, v in entry.items()}
    return plain | {"kid": kid, "use": "sig", "alg": algorithm} | changes


def sign(claims: dict[str, Any], key: PrivateKey, kid: str | None, **headers: Any) -> str:
    algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    extra = ({"kid": kid} if kid else {}) | headers
    return jwt.encode(claims, private_pem(key), algorithm=algorithm, headers=extra)


class ClerkStandIn:
    """Signs session tokens as a Clerk instance does."""

    issuer = "https://clerk.example"

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.pem = public_pem(self.key)

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "user_2abc",
            "sid": "sess_1",
            "azp": "https://app.example",
            "iat": now,
            "nbf": now - 10,
            "exp": now + 60,
            "v": 2,
            "sts": "active",
        } | changes
        return {name: value for name, value in claims.items() if value is not ...}

    def token(self, kid: str | None = "ins_1", **changes: Any) -> str:
        return sign(self.claims(**changes), self.key, kid, oiat=1)


class SupabaseStandIn:
    """Signs access tokens as a Supabase project does, with an EC and an RSA key."""

    url = "https://project.example"
    issuer = f"{url}/auth/v1"

    def __init__(self) -> None:
        self.ec_key = ec.generate_private_key(ec.SECP256R1())
        self.rsa_key = rsa.generate_private_key(65537, 2048)

    def key_set(self) -> dict[str, Any]:
        return {"keys": [jwk_of(self.rsa_key, "rsa-1"), jwk_of(self.ec_key, "ec-1")]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": str(uuid4()),
            "aud": "authenticated",
            "role": "authenticated",
            "aal": "aal1",
            "session_id": str(uuid4()),
            "email": "someone@example.com",
            "phone": "",
            "is_anonymous": False,
            "iat": now,
            "exp": now + 3600,
            "app_metadata": {"provider": "email"},
            "user_metadata": {},
        } | changes
        return {name: value for name, value in claims.items() if value is not ...}

    def token(self, **changes: Any) -> str:
        return sign(self.claims(**changes), self.ec_key, "ec-1")

    def rsa_token(self, **changes: Any) -> str:
        return sign(self.claims(**changes), self.rsa_key, "rsa-1")
