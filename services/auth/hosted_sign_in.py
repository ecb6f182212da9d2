"""Signing up and in where Supabase Auth keeps passwords and mails codes; sessions stay our own.

Accounts that were made before, with a password in our tables and no identity at Supabase, go on
signing in by our own rules; so the back end can be changed under a living system.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.auth import codes, referrals, repository
from services.auth.account_changes import confirm_account, create_outside_user, email_taken
from services.auth.hosted import HostedAccounts
from services.auth.models import KnownAccount, Person
from services.auth.sessions import Sessions
from services.auth.sign_in import (
    PROVIDER,
    LocalSignIn,
    SignUp,
    found_or,
    known_referrer,
    otp_invalid,
    wrong_password,
)
from shared.contract.auth import CreateAccount, Session
from shared.placement import Connection, Database

HOSTED = "supabase"


class HostedSignIn:
    """Supabase's ids of people are ours, as its webhooks have it too."""

    def __init__(
        self, database: Database, sessions: Sessions, hosted: HostedAccounts, local: LocalSignIn
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._hosted = hosted
        self._local = local

    async def create_account(self, wanted: CreateAccount) -> SignUp:
        if await self._is_local(wanted.email):
            return await self._local.create_account(wanted)
        known = await self._database.read(lambda c: self._known(c, wanted))
        user_id = None
        if known is None:
            user_id = await self._hosted.create(wanted.email, wanted.password, wanted.name)
        elif not await self._is_proven(known):
            user_id = known.id
            if wanted.password is not None:
                await self.password_change(user_id, wanted.password)
        if user_id is None:  # a code lets the owner of the address in
            raise email_taken()
        await self._database.transaction(lambda c: self._store(c, wanted, user_id))
        await self._hosted.send_code(wanted.email)
        return SignUp(user_id, _code_end())

    async def _known(self, connection: Connection, wanted: CreateAccount) -> KnownAccount | None:
        """Who has the address; 422 for a bad code before anybody is asked."""
        await known_referrer(connection, wanted.referral_code)
        return await repository.find_by_email(connection, wanted.email, locked=False)

    async def _is_proven(self, known: KnownAccount) -> bool:
        """Supabase decides: its webhook about a new person makes an account that looks confirmed."""
        external_id = await self._external_id(known.id) if known.confirmed else None
        return external_id is not None and await self._hosted.is_confirmed(external_id)

    async def _store(self, connection: Connection, wanted: CreateAccount, user_id: UUID) -> None:
        """Our row of a person whom Supabase waits for; its webhook may have made it already."""
        made = await repository.insert_user(
            connection, wanted.email, confirmed=False, user_id=user_id, name=wanted.name
        )
        if made is None:
            known = await repository.find_by_email(connection, wanted.email)
            if known is None or known.id != user_id:
                raise email_taken()
            await repository.start_again(connection, user_id, wanted.email, None, wanted.name)
        await repository.link(connection, HOSTED, str(user_id), user_id)
        referrer = await known_referrer(connection, wanted.referral_code)
        if referrer is not None and referrer != user_id:
            await referrals.note_pending(connection, referrer, user_id)

    async def verify_code(self, email: str, code: str) -> Session:
        if await self._is_local(email):
            return await self._local.verify_code(email, code)
        person = await self._hosted.check_code(email, code)
        if person is None:
            raise otp_invalid()
        return await self._sign_in(person, email)

    async def by_password(self, email: str, password: str) -> Session:
        if await self._is_local(email):
            return await self._local.by_password(email, password)
        person = await self._hosted.check_password(email, password)
        if person is None:
            raise wrong_password()
        return await self._sign_in(person, email)

    async def mail_code(self, email: str) -> datetime:
        if await self._is_local(email):
            return await self._local.mail_code(email)
        await self._hosted.send_code(email)
        return _code_end()

    async def password_change(self, user_id: UUID, password: str) -> str | None:
        external_id = await self._external_id(user_id)
        if external_id is None:
            return await self._local.password_change(user_id, password)
        await self._hosted.set_password(external_id, password)
        return None

    async def forget(self, user_id: UUID) -> None:
        external_id = await self._external_id(user_id)
        if external_id is not None:
            await self._hosted.delete(external_id)

    async def _external_id(self, user_id: UUID) -> str | None:
        return await self._database.read(
            lambda connection: repository.external_id_of(connection, HOSTED, user_id)
        )

    async def _is_local(self, email: str) -> bool:
        """Whether an account of ours has the address and Supabase does not know the person."""

        async def read(connection: Connection) -> bool:
            known = await repository.find_by_email(connection, email, locked=False)
            if known is None:
                return False
            return await repository.external_id_of(connection, HOSTED, known.id) is None

        return await self._database.read(read)

    async def _sign_in(self, person: Person, email: str) -> Session:
        async def work(connection: Connection) -> Session | None:
            user_id = await self._account(connection, person, email)
            if user_id is None:
                return None
            return await self._sessions.sign_in(connection, user_id, PROVIDER)

        return found_or(await self._database.transaction(work), wrong_password())

    async def _account(self, connection: Connection, person: Person, email: str) -> UUID | None:
        """Our account of somebody who proved the address; made now if the webhook is late."""
        known = await repository.find_identity(connection, HOSTED, person.external_id)
        if known is None:
            made = UUID(person.external_id)
            known = await create_outside_user(
                connection, made, person.email or email, person.name, PROVIDER
            )
            await repository.link(connection, HOSTED, person.external_id, made)
            return known or made
        account = await repository.find_by_email(connection, email)
        if account is not None and account.id == known and not account.confirmed:
            await confirm_account(connection, known, PROVIDER)
        else:  # Supabase's webhook has made the account before its referral was noted
            await referrals.confirm_pending(connection, known)
        return known


def _code_end() -> datetime:
    """Supabase does not say when its codes end; ours is the shorter of the two lives."""
    return datetime.now(UTC) + timedelta(minutes=codes.LIFETIME_MINUTES)
