"""Keys that verify tokens: each is built once and bound to one algorithm; knows no issuer.

An algorithm is never taken from a token. A public key can therefore never serve as an HMAC secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from jose import jwk
from jose.backends import ECKey, RSAKey
from jose.backends.base import Key
from jose.exceptions import JOSEError

from shared.errors import OperatorError

Algorithm = Literal["HS256", "RS256", "ES256"]

MIN_SECRET_BYTES = 32  # RFC 7518, 3.2
MIN_RSA_BITS = 2048  # RFC 7518, 3.3


class KeyMaterialError(OperatorError):
    """A configured secret or key cannot be used; the message never holds it."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A prebuilt key. `kid` is None for secrets, which are all tried."""

    algorithm: Algorithm
    key: Key = field(repr=False)
    kid: str | None = None


def check_backend() -> None:
    """Refuse to start on python-jose's pure Python back end: 16 times slower, and leaks by timing."""
    for kind in (ECKey, RSAKey):
        if kind is None or not kind.__module__.endswith("cryptography_backend"):
            raise KeyMaterialError(
                "python-jose runs without the cryptography back end;"
                " install it with `pip install 'python-jose[cryptography]'`"
            )


def hmac_key(secret: str) -> VerificationKey:
    """The HS256 key of a shared secret of at least 32 bytes."""
    raw = secret.encode()
    if len(raw) < MIN_SECRET_BYTES:
        raise KeyMaterialError(
            f"a secret for HS256 has {len(raw)} bytes; it needs at least {MIN_SECRET_BYTES}"
        )
    if _is_public_key(raw):
        raise KeyMaterialError("a public key was configured as a shared secret")
    try:
        return VerificationKey("HS256", jwk.construct(raw, "HS256"))
    except JOSEError as error:
        raise KeyMaterialError("a key file was configured as a shared secret") from error


def pem_key(pem: str, algorithm: Literal["RS256", "ES256"]) -> VerificationKey:
    """The key of a PEM public key from the configuration (Clerk's networkless key)."""
    try:
        key = load_pem_public_key(pem.strip().encode())
        is_right = _is_strong_rsa(key) if algorithm == "RS256" else _is_p256(key)
        if is_right:
            return VerificationKey(algorithm, jwk.construct(pem.strip(), algorithm))
    except (JOSEError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyMaterialError(f"a configured key is no {algorithm} public key in PEM") from error
    raise KeyMaterialError(
        f"a configured PEM key does not fit {algorithm}"
        f" (RSA of at least {MIN_RSA_BITS} bits for RS256, P-256 for ES256)"
    )


def keys_of_set(document: Mapping[str, Any]) -> tuple[VerificationKey, ...]:
    """The usable keys of a JWK set (RFC 7517). Keys of other kinds or uses are left out."""
    entries = document.get("keys")
    found = (_key_of_jwk(entry) for entry in (entries if isinstance(entries, list) else ()))
    return tuple(key for key in found if key is not None)


def by_kid(keys: Iterable[VerificationKey]) -> dict[str, VerificationKey]:
    """Keys by id; the first of two with one id counts, keys without id are left out."""
    found: dict[str, VerificationKey] = {}
    for key in keys:
        if key.kid is not None:
            found.setdefault(key.kid, key)
    return found


def _key_of_jwk(entry: object) -> VerificationKey | None:
    if not isinstance(entry, dict) or entry.get("use") not in (None, "sig"):
        return None
    algorithm = _algorithm_of(entry)
    kid = entry.get("kid")
    if algorithm is None or not isinstance(kid, str):
        return None
    try:
        key = jwk.construct(entry, algorithm)
        if algorithm == "RS256" and not _is_strong_rsa(getattr(key, "prepared_key", None)):
            return None
    except Exception:  # malformed entries of somebody else's document: any error means unusable
        return None
    return VerificationKey(algorithm, key, kid)


def _algorithm_of(entry: Mapping[str, Any]) -> Algorithm | None:
    """The one algorithm of a JWK, by its key type; a different `alg` makes it unusable."""
    kind, declared = entry.get("kty"), entry.get("alg")
    if kind == "EC" and entry.get("crv") == "P-256" and declared in (None, "ES256"):
        return "ES256"
    if kind == "RSA" and declared in (None, "RS256"):
        return "RS256"
    return None


def _is_strong_rsa(key: object) -> bool:
    return isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS


def _is_p256(key: object) -> bool:
    return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)


def _is_public_key(raw: bytes) -> bool:
    """Whether bytes are a DER public key, which python-jose takes for a secret."""
    try:
        return isinstance(load_der_public_key(raw), RSAPublicKey | EllipticCurvePublicKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
