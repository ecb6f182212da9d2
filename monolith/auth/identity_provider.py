"""Who an id token of Google, Apple or Facebook speaks of: the reference rule, or Supabase Auth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from monolith.errors import ApiError, provider_failed, provider_timed_out
from monolith.settings import Settings
from monolith.tokens import LEEWAY_SECONDS, Tokens

CALL_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as a provider knows them; email is None if the provider did not verify it."""

    external_id: str
    email: str | None
    name: str | None


def credentials_invalid() -> ApiError:
    return ApiError("CREDENTIALS_INVALID", "The id token was not accepted")


class IdentityProvider(Protocol):
    async def identify(self, provider: str, id_token: str, nonce: str | None) -> Identity: ...


class ReferenceIdentities:
    """The id token is an HS256 JWT under the app's own secret (contract, 7)."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = Tokens(settings.jwt_secrets, None)

    async def identify(self, _provider: str, id_token: str, nonce: str | None) -> Identity:
        try:
            claims = self._tokens.payload(id_token)
        except ApiError as error:
            raise credentials_invalid() from error
        subject, email = claims.get("sub"), claims.get("email")
        if not isinstance(subject, str) or not subject or not isinstance(email, str):
            raise credentials_invalid()
        if _expired(claims) or (nonce is not None and claims.get("nonce", nonce) != nonce):
            raise credentials_invalid()
        verified = claims.get("email_verified") is not False
        name = claims.get("name")
        return Identity(
            subject[:255], email if verified else None, name if isinstance(name, str) else None
        )


def _expired(claims: Mapping[str, Any]) -> bool:
    expires = claims.get("exp")
    return isinstance(expires, int | float) and expires + LEEWAY_SECONDS <= time.time()


class SupabaseIdentities:
    """Supabase Auth checks the token against the provider's keys."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.provider_keys.get("SUPABASE_URL", "").rstrip("/")
        self._key = settings.provider_keys.get("SUPABASE_ANON_KEY", "")

    async def identify(self, provider: str, id_token: str, nonce: str | None) -> Identity:
        if not self._url:
            raise provider_failed("oauth")
        body = {"provider": provider, "id_token": id_token} | ({"nonce": nonce} if nonce else {})
        try:
            async with httpx.AsyncClient(timeout=CALL_SECONDS) as client:
                answer = await client.post(
                    f"{self._url}/auth/v1/token",
                    params={"grant_type": "id_token"},
                    headers={"apikey": self._key},
                    json=body,
                )
        except httpx.TimeoutException as error:
            raise provider_timed_out("oauth") from error
        except httpx.HTTPError as error:
            raise provider_failed("oauth") from error
        if answer.status_code >= 500:
            raise provider_failed("oauth")
        if answer.status_code >= 400:
            raise credentials_invalid()
        return _identity_of(answer.json().get("user") or {}, provider)


def _identity_of(user: Mapping[str, Any], provider: str) -> Identity:
    linked = [i for i in user.get("identities") or () if i.get("provider") == provider]
    external = (linked[0].get("id") if linked else None) or user.get("id")
    if not external:
        raise provider_failed("oauth")
    email = user.get("email") if user.get("email_confirmed_at") else None
    name = (user.get("user_metadata") or {}).get("name")
    return Identity(str(external), email, name)


class IdentityDesk:
    """The identity provider of this process."""

    def __init__(self, settings: Settings) -> None:
        self.provider: IdentityProvider = (
            ReferenceIdentities(settings)
            if settings.providers == "reference"
            else SupabaseIdentities(settings)
        )

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""
