"""Whom an id token of Google, Apple or Facebook speaks of: the reference rule, or Supabase Auth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jose import jws
from jose.exceptions import JOSEError
from pydantic_core import from_json

from services.auth.hosted import HostedAccounts
from services.auth.models import Person
from shared.errors import CallerError, Code, provider_failed

LEEWAY_SECONDS = 30  # contract, 1.4
EXTERNAL_ID_MAX = 255


def credentials_invalid(message: str = "The id token was not accepted") -> CallerError:
    return CallerError(Code.CREDENTIALS_INVALID, message)


class IdentityProvider(Protocol):
    """Raises CREDENTIALS_INVALID, or PeerError when nobody can say."""

    async def identify(self, provider: str, id_token: str, nonce: str | None) -> Person: ...


class ReferenceIdentities:
    """The id token is an HS256 JWT under one of the app's own secrets (contract, 7)."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)

    async def identify(self, provider: str, id_token: str, nonce: str | None) -> Person:
        claims = self._claims(id_token)
        subject, email, name = claims.get("sub"), claims.get("email"), claims.get("name")
        if not isinstance(subject, str) or not subject or not isinstance(email, str):
            raise credentials_invalid()
        if _has_expired(claims) or (nonce is not None and claims.get("nonce", nonce) != nonce):
            raise credentials_invalid()
        is_verified = claims.get("email_verified") is not False
        return Person(
            subject[:EXTERNAL_ID_MAX],
            email if is_verified else None,
            name if isinstance(name, str) else None,
        )

    def _claims(self, id_token: str) -> Mapping[str, Any]:
        for secret in self._secrets:
            try:
                claims = from_json(jws.verify(id_token, secret, algorithms=["HS256"]))
            except (JOSEError, ValueError, TypeError):
                continue
            if isinstance(claims, dict):
                return claims
        raise credentials_invalid()


class SupabaseIdentities:
    """Supabase Auth checks the token against the provider's keys."""

    def __init__(self, hosted: HostedAccounts) -> None:
        self._hosted = hosted

    async def identify(self, provider: str, id_token: str, nonce: str | None) -> Person:
        person = await self._hosted.identify(provider, id_token, nonce)
        if person is None:
            raise credentials_invalid()
        return person


class NoIdentities:
    """Nobody is configured who could check a token."""

    async def identify(self, provider: str, id_token: str, nonce: str | None) -> Person:
        raise provider_failed("set SUPABASE_URL and SUPABASE_ANON_KEY", "oauth")


def _has_expired(claims: Mapping[str, Any]) -> bool:
    expires = claims.get("exp")
    return isinstance(expires, int | float) and expires + LEEWAY_SECONDS <= time.time()
