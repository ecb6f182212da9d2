"""What auth answers beyond signing in by password and code; knows no HTTP and no SQL text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import asyncpg

from services.auth import referrals, repository
from services.auth.account_changes import (
    confirm_account,
    create_outside_user,
    erase_account,
    update_outside_user,
)
from services.auth.identity_providers import IdentityProvider, credentials_invalid
from services.auth.models import Person, ShownUser, clean_name, is_usable_email
from services.auth.news import tell, tell_created
from services.auth.sessions import Sessions, revoke_all, revoke_family_of
from services.auth.sign_in import SignIn, change_password
from shared.auth.principal import Principal
from shared.contract.auth import Session, Synced, User
from shared.errors import CallerError, Code, invalid_fields, not_found
from shared.placement import Connection, Database

HOSTED = "supabase"
CLERK = "clerk"


class AuthService:
    """One per process."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        sign_in: SignIn,
        identities: IdentityProvider,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self.sign_in = sign_in
        self._identities = identities

    async def oauth(self, provider: str, id_token: str, nonce: str | None) -> tuple[Session, bool]:
        """A session of whom an id token speaks of, and whether the account is new."""
        person = await self._identities.identify(provider, id_token, nonce)

        async def work(connection: Connection) -> tuple[Session, bool]:
            user_id, created = await _account_of(connection, provider, person)
            return await self._sessions.sign_in(connection, user_id, provider), created

        return await self._database.transaction(work)

    async def refresh(self, refresh_token: str) -> Session:
        session = await self._database.transaction(
            lambda connection: self._sessions.renew(connection, refresh_token)
        )
        if session is None:
            raise CallerError(Code.TOKEN_INVALID, "The refresh token is not valid")
        return session

    async def logout(self, user_id: UUID, refresh_token: str | None) -> None:
        """End the session of a token, or all of them."""

        async def work(connection: Connection) -> None:
            if refresh_token is None:
                await revoke_all(connection, user_id)
            else:
                await revoke_family_of(connection, user_id, refresh_token)

        await self._database.transaction(work)

    async def me(self, user_id: UUID) -> ShownUser:
        return await self._database.read(lambda c: self._sessions.read_user(c, user_id))

    async def sync(self, principal: Principal) -> Synced:
        """The account of a token's bearer, made or brought up to date."""

        async def work(connection: Connection) -> Synced:
            user_id = principal.user_id
            gone = None if user_id is None else await repository.is_deleted(connection, user_id)
            if gone:
                raise CallerError(Code.ACCOUNT_DELETED, "This account was deleted")
            created = False
            if gone is None:
                user_id, created = await _provision(connection, principal)
            if user_id is None:
                raise CallerError(Code.ACCOUNT_NOT_PROVISIONED, "There is no account yet")
            if not created:
                name = _metadata_name(principal)
                await update_outside_user(connection, user_id, principal.email, name)
            shown = await self._sessions.read_user(connection, user_id)
            return Synced(user=shown.user, created=created)

        return await self._database.transaction(work)

    async def update_details(
        self,
        user_id: UUID,
        session_id: UUID | None,
        given: Mapping[str, Any],
        owns_image: Callable[[UUID], Awaitable[bool]],
    ) -> User:
        """Change what was sent; `given` holds only fields of the request that were there."""
        avatar = given.get("avatar_media_id")
        if avatar is not None and not await owns_image(avatar):
            raise _not_your_image()
        password_hash = None
        if "password" in given:
            password_hash = await self.sign_in.password_change(user_id, given["password"])

        async def work(connection: Connection) -> User:
            changed = await repository.change_profile(connection, user_id, given)
            if given.get("onboarding_status") is not None:
                await repository.set_onboarding(connection, user_id, given["onboarding_status"])
                changed.append("onboarding_status")
            if "password" in given:
                await change_password(connection, user_id, password_hash, session_id)
                changed.append("password")
            if changed:
                await tell(connection, "user.updated", user_id, {"changed": changed})
            return (await self._sessions.read_user(connection, user_id)).user

        try:
            return await self._database.transaction(work)
        except asyncpg.ForeignKeyViolationError as error:
            if repository.is_missing_image(error):  # deleted since it was looked at
                raise _not_your_image() from error
            raise

    async def delete(self, user_id: UUID) -> None:
        """The account is gone at once; the other domains erase their rows on user.deleted."""
        await self.sign_in.forget(user_id)
        await self._database.transaction(lambda connection: erase_account(connection, user_id))

    async def referral(self, user_id: UUID) -> referrals.ReferralCounts:
        found = await self._database.read(lambda c: referrals.counts(c, user_id))
        if found is None:
            raise not_found("account")
        return found

    async def apply_referral(self, user_id: UUID, code: str) -> None:
        """Use somebody's code, once per account."""

        async def work(connection: Connection) -> None:
            referrer = await referrals.find_referrer(connection, code)
            if referrer is None:
                raise not_found("referral code")
            if referrer == user_id:
                raise invalid_fields(("body.code", "is your own code"))
            if not await referrals.apply(connection, referrer, user_id, code.upper()):
                raise CallerError(Code.REFERRAL_ALREADY_APPLIED, "A referral was applied before")

        await self._database.transaction(work)


def _not_your_image() -> CallerError:
    return invalid_fields(("body.avatar_media_id", "is not an image of yours"))


def _metadata_name(principal: Principal) -> str | None:
    name = principal.user_metadata.get("name")
    return name if isinstance(name, str) and name else None


async def _provision(connection: Connection, principal: Principal) -> tuple[UUID | None, bool]:
    """Make the row of a token's user; the flag is False if another request was quicker."""
    if principal.email is None:
        raise invalid_fields(("token.email", "is needed to make an account"))
    told = principal.app_metadata.get("provider")
    provider = told if isinstance(told, str) and told else HOSTED
    name = _metadata_name(principal)
    made = await create_outside_user(connection, principal.user_id, principal.email, name, provider)
    if made is not None:
        is_clerk = principal.issuer == CLERK and principal.subject is not None
        external_id = str(principal.subject) if is_clerk else str(made)
        await repository.link(connection, CLERK if is_clerk else HOSTED, external_id, made)
    return (made or principal.user_id), made is not None


async def _account_of(connection: Connection, provider: str, person: Person) -> tuple[UUID, bool]:
    """The account of an identity: linked before, linked now by its address, or new."""
    known = await repository.find_identity(connection, provider, person.external_id)
    if known is not None:
        return known, False
    email = person.email
    if email is None or not is_usable_email(email):
        raise credentials_invalid()
    made = await repository.insert_user(
        connection, email, confirmed=True, name=clean_name(person.name)
    )
    if made is not None:
        await repository.link(connection, provider, person.external_id, made)
        await tell_created(connection, made, await repository.facts_of(connection, made), provider)
        return made, True
    owner = await repository.find_by_email(connection, email)
    if owner is None:
        raise credentials_invalid()
    if not owner.confirmed:
        # Whoever typed this address before never proved it: their password must not stay.
        await repository.set_password_hash(connection, owner.id, None)
        await confirm_account(connection, owner.id, provider)
    await repository.link(connection, provider, person.external_id, owner.id)
    return owner.id, False
