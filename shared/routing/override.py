"""Signed overrides that send one client's requests to a chosen side; pure, knows no HTTP.

An override is an HS256 token of its own audience, so a user's token is never an override and an override
never signs anybody in. It names services or routes of the manifest and works at 0 percent too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

AUDIENCE = "strangler-override"
#: Header and cookie that carry an override; the router never forwards the header.
HEADER = "X-Strangler-Override"
COOKIE = "strangler_override"
_SIDES = frozenset({"monolith", "service"})
_HEADER_PART = {"alg": "HS256", "typ": "JWT"}


class OverrideError(ValueError):
    """An override that cannot be used; the message says why and never holds the token."""


def sign_override(sides: Mapping[str, str], *, secret: str, expires_at: int) -> str:
    """A token that sends the named routes or services to the given sides until `expires_at` (unix s)."""
    if not sides or not set(sides.values()) <= _SIDES:
        raise OverrideError("an override maps route or service names to monolith or service")
    claims = {"aud": AUDIENCE, "exp": expires_at, "sides": dict(sides)}
    signed = f"{_encode(_HEADER_PART)}.{_encode(claims)}"
    return f"{signed}.{_base64(_signature(secret, signed))}"


def override_side(sides: Mapping[str, str], route: str, service: str) -> str | None:
    """The side that an override names for a route: by route name first, then by service."""
    return sides.get(route) or sides.get(service)


def read_override(token: str, secrets: Sequence[str], *, now: float) -> Mapping[str, str]:
    """The verified sides of a token; raises OverrideError."""
    sides, expires_at = _verified(token, tuple(secrets))
    if now >= expires_at:
        raise OverrideError("the override has expired; make a new one")
    return sides


@lru_cache(maxsize=1024)
def _verified(token: str, secrets: tuple[str, ...]) -> tuple[Mapping[str, str], float]:
    signed, _, signature = token.rpartition(".")
    try:
        given = _decode(signature)
        header, claims = (json.loads(_decode(part)) for part in signed.split("."))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise OverrideError("the override is not a token") from error
    if header.get("alg") != "HS256" or claims.get("aud") != AUDIENCE:
        raise OverrideError("the token is not an override")
    if not any(hmac.compare_digest(given, _signature(secret, signed)) for secret in secrets):
        raise OverrideError("the override is not signed by a known secret")
    sides, expires_at = claims.get("sides"), claims.get("exp")
    if not isinstance(sides, dict) or not isinstance(expires_at, int | float):
        raise OverrideError("the override has no sides or no expiry")
    if not all(isinstance(side, str) and side in _SIDES for side in sides.values()):
        raise OverrideError("the override names a side that does not exist")
    return MappingProxyType(sides), float(expires_at)


def _signature(secret: str, signed: str) -> bytes:
    return hmac.new(secret.encode(), signed.encode("ascii", "replace"), hashlib.sha256).digest()


def _encode(value: Mapping[str, object]) -> str:
    return _base64(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
