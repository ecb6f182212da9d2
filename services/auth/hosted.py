"""Supabase Auth through its own client: people, codes, passwords, id tokens; knows none of our tables.

A client remembers the session of whoever signed in last, so every call gets a client of its own; they
share the connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx
from supabase import AsyncClient, AsyncClientOptions
from supabase_auth.errors import AuthError

from services.auth.models import Person, clean_name
from shared.errors import CallerError, Code, PeerError, provider_failed, provider_timed_out

CALL_SECONDS = 8.0
KIND = "oauth"
_KNOWN = frozenset({"user_already_exists", "email_exists"})
_NO_SUCH_USER = frozenset({"user_not_found", "otp_disabled", "signup_disabled"})
T = TypeVar("T")


class HostedAccounts:
    """What auth asks of a Supabase project. Raises PeerError when it does not answer."""

    def __init__(self, url: str, key: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._key = key
        self._http = http

    async def create(self, email: str, password: str | None, name: str | None) -> UUID | None:
        """A person whose address is not proven yet; None if Supabase knows the address."""
        attributes: dict[str, Any] = {"email": email, "email_confirm": False}
        attributes |= {"password": password} if password else {}
        attributes |= {"user_metadata": {"name": name}} if name else {}
        try:
            made = await _asked(self._client().auth.admin.create_user(cast(Any, attributes)))
        except AuthError as error:
            if error.code in _KNOWN:
                return None
            raise _failed(error) from error
        return UUID(made.user.id)

    async def is_confirmed(self, external_id: str) -> bool:
        """Whether a person has proven the address; False for one whom Supabase does not know."""
        try:
            answer = await _asked(self._client().auth.admin.get_user_by_id(external_id))
        except AuthError as error:
            if error.code in _NO_SUCH_USER:
                return False
            raise _failed(error) from error
        return answer.user.email_confirmed_at is not None

    async def send_code(self, email: str) -> None:
        """Supabase mails a code; nothing happens for addresses that it does not know."""
        wanted = {"email": email, "options": {"should_create_user": False}}
        try:
            await _asked(self._client().auth.sign_in_with_otp(cast(Any, wanted)))
        except AuthError as error:
            if error.code not in _NO_SUCH_USER:
                raise _failed(error) from error

    async def check_code(self, email: str, code: str) -> Person | None:
        """Whoever has read the mail; None for a wrong, used or expired code."""
        wanted = {"email": email, "token": code, "type": "email"}
        try:
            answer = await _asked(self._client().auth.verify_otp(cast(Any, wanted)))
        except AuthError as error:
            if _is_refusal(error):
                return None
            raise _failed(error) from error
        return _person(answer.user, None)

    async def check_password(self, email: str, password: str) -> Person | None:
        """The person with this password; None if it is wrong. Raises ACCOUNT_NOT_CONFIRMED."""
        wanted = {"email": email, "password": password}
        try:
            answer = await _asked(self._client().auth.sign_in_with_password(cast(Any, wanted)))
        except AuthError as error:
            if error.code == "email_not_confirmed":
                text = "Confirm the address with the mailed code first"
                raise CallerError(Code.ACCOUNT_NOT_CONFIRMED, text) from error
            if _is_refusal(error):
                return None
            raise _failed(error) from error
        return _person(answer.user, None)

    async def set_password(self, external_id: str, password: str) -> None:
        try:
            changes: dict[str, Any] = {"password": password}
            await _asked(
                self._client().auth.admin.update_user_by_id(external_id, cast(Any, changes))
            )
        except AuthError as error:
            raise _failed(error) from error

    async def delete(self, external_id: str) -> None:
        """Remove a person; one who is gone already is no error."""
        try:
            await _asked(self._client().auth.admin.delete_user(external_id))
        except AuthError as error:
            if error.code not in _NO_SUCH_USER:
                raise _failed(error) from error

    async def identify(self, provider: str, id_token: str, nonce: str | None) -> Person | None:
        """Whom an id token of Google, Apple or Facebook speaks of; None if it is not good."""
        wanted = {"provider": provider, "token": id_token} | ({"nonce": nonce} if nonce else {})
        try:
            answer = await _asked(self._client().auth.sign_in_with_id_token(cast(Any, wanted)))
        except AuthError as error:
            if _is_refusal(error):
                return None
            raise _failed(error) from error
        return _person(answer.user, provider)

    def _client(self) -> AsyncClient:
        options = AsyncClientOptions(
            httpx_client=self._http, auto_refresh_token=False, persist_session=False
        )
        return AsyncClient(self._url, self._key, options)


@asynccontextmanager
async def open_hosted(url: str, key: str) -> AsyncIterator[HostedAccounts]:
    """A Supabase project while the block runs. `key` opens what the caller needs: see the settings."""
    async with httpx.AsyncClient(timeout=CALL_SECONDS) as http:
        yield HostedAccounts(url, key, http)


async def _asked(call: Awaitable[T]) -> T:
    """The client hides the reason of a call that got no answer; this finds it again."""
    try:
        return await call
    except AuthError as error:
        if isinstance(error.__cause__, httpx.TimeoutException):
            raise provider_timed_out("Supabase Auth took too long", KIND) from error
        raise
    except httpx.HTTPError as error:
        raise provider_failed(f"Supabase Auth: {type(error).__name__}", KIND) from error


def _is_refusal(error: AuthError) -> bool:
    """Whether Supabase understood and said no, rather than failed."""
    return 400 <= getattr(error, "status", 0) < 500 and getattr(error, "status", 0) != 429


def _failed(error: AuthError) -> PeerError:
    status = getattr(error, "status", None)
    return provider_failed(f"Supabase Auth answered {status} {error.code}", KIND)


def _person(user: Any, provider: str | None) -> Person:
    """`provider` None: Supabase's own id of the person; else the id that the provider uses."""
    if user is None:
        raise provider_failed("Supabase Auth named nobody", KIND)
    linked = [one for one in user.identities or () if one.provider == provider]
    external = str(linked[0].id) if linked else str(user.id)
    email = user.email if user.email_confirmed_at else None
    metadata = user.user_metadata or {}
    name = metadata.get("name")
    return Person(external, email, clean_name(name if isinstance(name, str) else None))
