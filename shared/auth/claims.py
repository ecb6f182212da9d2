"""What the claims of a token must say, per kind of issuer (contract, 1.4); pure.

Each rule set takes the claims of a token whose signature is good and gives a Principal, or raises
TokenRefusedError with a reason for the log. Reasons are never shown to clients.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from shared.auth.principal import Principal

Claims = Mapping[str, Any]

AUDIENCE = "authenticated"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class TokenRefusedError(Exception):
    """Why a token is not accepted; `reason` is a word for logs and metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenExpiredError(TokenRefusedError):
    """The token was good once."""

    def __init__(self) -> None:
        super().__init__("expired")


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Rules of one issuer. `now` is unix seconds everywhere."""

    kind: Literal["local", "supabase", "clerk"]
    issuer: str | None  # None: any, for a local issuer without a name
    leeway_seconds: float
    authorized_parties: frozenset[str] = frozenset()

    def principal(self, claims: Claims, now: float) -> Principal:
        """The bearer the claims speak for. Expiry is judged last: it is only said of good tokens."""
        expires = _number(claims.get("exp"))
        if expires is None:
            raise TokenRefusedError("no_exp")
        principal = self._bearer(claims, int(min(expires, 2**53)))
        self._check_times(claims, now)
        if expires + self.leeway_seconds <= now:
            raise TokenExpiredError
        return principal

    def _bearer(self, claims: Claims, expires_at: int) -> Principal:
        if self.kind == "clerk":
            return self._clerk_user(claims, expires_at)
        role = claims.get("role")
        if role == "authenticated":
            return self._user(claims, expires_at)
        if role == "service_role" and self.kind == "local":
            return self._service(claims, expires_at)
        raise TokenRefusedError("wrong_role")

    def _user(self, claims: Claims, expires_at: int) -> Principal:
        self._check_issuer(claims)
        audience = claims.get("aud")
        if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
            raise TokenRefusedError("wrong_audience")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not _UUID.fullmatch(subject):
            raise TokenRefusedError("wrong_subject")
        if self.kind == "supabase" and _number(claims.get("iat")) is None:
            raise TokenRefusedError("no_iat")
        return Principal(
            role="authenticated",
            issuer=self.kind,
            subject=subject.lower(),
            expires_at=expires_at,
            user_id=UUID(subject),
            email=_text(claims.get("email")),
            session_id=_text(claims.get("session_id")),
            is_anonymous=claims.get("is_anonymous") is True,
            assurance=_text(claims.get("aal")),
            app_metadata=_object(claims.get("app_metadata")),
            user_metadata=_object(claims.get("user_metadata")),
        )

    def _service(self, claims: Claims, expires_at: int) -> Principal:
        if claims.get("sub") is not None or claims.get("aud") is not None:
            raise TokenRefusedError("service_with_subject")
        return Principal(role="service_role", issuer="local", subject=None, expires_at=expires_at)

    def _clerk_user(self, claims: Claims, expires_at: int) -> Principal:
        self._check_issuer(claims)
        session_id, subject = _text(claims.get("sid")), _text(claims.get("sub"))
        if session_id is None:
            raise TokenRefusedError("no_session")  # tokens of JWT templates have the same key
        if subject is None:
            raise TokenRefusedError("wrong_subject")
        if claims.get("sts") == "pending":
            raise TokenRefusedError("pending_session")
        party = claims.get("azp")
        if party is not None and party not in self.authorized_parties:
            raise TokenRefusedError("wrong_party")
        return Principal(
            role="authenticated",
            issuer="clerk",
            subject=subject,
            expires_at=expires_at,
            email=_text(claims.get("email")),
            session_id=session_id,
            impersonator=_text(_object(claims.get("act")).get("sub")),
        )

    def _check_issuer(self, claims: Claims) -> None:
        if self.issuer is not None and claims.get("iss") != self.issuer:
            raise TokenRefusedError("wrong_issuer")

    def _check_times(self, claims: Claims, now: float) -> None:
        for name in ("iat", "nbf"):
            if claims.get(name) is None:
                continue
            moment = _number(claims[name])
            if moment is None or moment > now + self.leeway_seconds:
                raise TokenRefusedError(f"{name}_ahead")


def _number(value: object) -> float | None:
    """A finite number; None for anything else, also for true and for digits as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
