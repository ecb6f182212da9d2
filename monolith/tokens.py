"""Access tokens: signing with the first secret, accepting any of the list; decides, reads no table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from jose import jws
from jose.exceptions import JOSEError

from monolith.errors import ApiError
from monolith.values import UUID_TEXT

ALGORITHM = "HS256"
LEEWAY_SECONDS = 30
LIFETIME_SECONDS = 3600
TOKEN_BYTES_MAX = 16384  # far above any real token; bounds the work for a hostile one


@dataclass(frozen=True, slots=True)
class UserToken:
    """Claims of a signed-in person; `tier` in it is a display hint and is not kept."""

    user_id: UUID
    email: str | None
    name: str | None
    provider: str | None
    session_id: UUID | None


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A token of a machine (`role` = `service_role`)."""


Token = UserToken | ServiceToken


def token_invalid() -> ApiError:
    return ApiError("TOKEN_INVALID", "The token is not valid")


class Tokens:
    """HS256 under a list of secrets, so that they can be rotated (contract, 1.4)."""

    def __init__(self, secrets: Sequence[str], issuer: str | None) -> None:
        self._secrets = tuple(secrets)
        self._issuer = issuer

    def sign(self, claims: Mapping[str, Any]) -> str:
        return str(jws.sign(dict(claims), self._secrets[0], algorithm=ALGORITHM))

    def read(self, token: str, now: float) -> Token:
        """Check a bearer value; now = unix seconds. Raises TOKEN_INVALID or TOKEN_EXPIRED."""
        claims = self.payload(token)
        expires = _number(claims.get("exp"))
        if expires is None:
            raise token_invalid()
        read = _user(claims, self._issuer, now) if claims.get("role") == "authenticated" else None
        if read is None and not _is_service(claims):
            raise token_invalid()
        if expires + LEEWAY_SECONDS <= now:
            raise ApiError("TOKEN_EXPIRED", "The token has expired")
        return read or ServiceToken()

    def payload(self, token: str) -> dict[str, Any]:
        """The claims of a token with a good signature; nothing else about it is checked."""
        if len(token) > TOKEN_BYTES_MAX or not token.isascii() or token.count(".") != 2:
            raise token_invalid()
        try:
            if "crit" in jws.get_unverified_header(token):
                raise token_invalid()
        except (JOSEError, ValueError, TypeError) as error:
            raise token_invalid() from error
        for secret in self._secrets:
            try:
                claims = json.loads(jws.verify(token, secret, algorithms=[ALGORITHM]))
            except (JOSEError, ValueError, TypeError, RecursionError):
                continue
            if isinstance(claims, dict):
                return claims
        raise token_invalid()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _uuid(value: object) -> UUID | None:
    if isinstance(value, str) and UUID_TEXT.fullmatch(value):
        return UUID(value)
    return None


def _is_service(claims: Mapping[str, Any]) -> bool:
    if claims.get("role") != "service_role":
        return False
    return claims.get("sub") is None and claims.get("aud") is None


def _user(claims: Mapping[str, Any], issuer: str | None, now: float) -> UserToken | None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    user_id = _uuid(claims.get("sub"))
    if user_id is None or "authenticated" not in audiences:
        return None
    if issuer is not None and claims.get("iss") != issuer:
        return None
    for name in ("iat", "nbf"):  # neither may lie ahead (RFC 7519, 4.1.5 and 4.1.6)
        if claims.get(name) is not None:
            moment = _number(claims[name])
            if moment is None or moment > now + LEEWAY_SECONDS:
                return None
    return UserToken(
        user_id=user_id,
        email=_text(claims.get("email")),
        name=_text(_object(claims.get("user_metadata")).get("name")),
        provider=_text(_object(claims.get("app_metadata")).get("provider")),
        session_id=_uuid(claims.get("session_id")),
    )
