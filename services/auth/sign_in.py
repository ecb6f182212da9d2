"""Signing up and in with our own passwords and codes; knows no HTTP and no hosted service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from services.auth import codes, referrals, repository
from services.auth.account_changes import confirm_account, email_taken
from services.auth.mail import Mailer, send_code
from services.auth.passwords import Passwords
from services.auth.sessions import Sessions, revoke_all
from shared.contract.auth import CreateAccount, Session
from shared.errors import CallerError, Code, invalid_fields
from shared.placement import Connection, Database

PROVIDER = "email"


@dataclass(frozen=True, slots=True)
class SignUp:
    """An account that waits for its code."""

    user_id: UUID
    expires_at: datetime


class SignIn(Protocol):
    """The routes whose rules depend on who keeps the passwords. Raises CallerError and PeerError."""

    async def create_account(self, wanted: CreateAccount) -> SignUp: ...

    async def verify_code(self, email: str, code: str) -> Session: ...

    async def by_password(self, email: str, password: str) -> Session: ...

    async def mail_code(self, email: str) -> datetime:
        """When the code ends; says the same for addresses that nobody has."""
        ...

    async def password_change(self, user_id: UUID, password: str) -> str | None:
        """Prepares a new password; what it returns goes to `users.password_hash`."""
        ...

    async def forget(self, user_id: UUID) -> None:
        """The account is about to be erased here: remove it elsewhere first."""
        ...


class LocalSignIn:
    """The tables keep hashes of passwords and codes."""

    def __init__(
        self, database: Database, sessions: Sessions, passwords: Passwords, mailer: Mailer
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._passwords = passwords
        self._mailer = mailer

    async def create_account(self, wanted: CreateAccount) -> SignUp:
        password_hash = None
        if wanted.password is not None:
            password_hash = await self._passwords.hash(wanted.password)
        code = self._mailer.new_code()

        async def work(connection: Connection) -> SignUp:
            referrer = await known_referrer(connection, wanted.referral_code)
            user_id = await _unconfirmed(connection, wanted, password_hash)
            if referrer is not None and referrer != user_id:
                await referrals.note_pending(connection, referrer, user_id)
            return SignUp(user_id, await codes.issue(connection, user_id, code))

        made = await self._database.transaction(work)
        await send_code(self._mailer, wanted.email, code)
        return made

    async def verify_code(self, email: str, code: str) -> Session:
        async def work(connection: Connection) -> Session | None:
            known = await repository.find_by_email(connection, email)
            if known is None or not await codes.use(connection, known.id, code):
                return None
            if not known.confirmed:
                await confirm_account(connection, known.id, PROVIDER)
            return await self._sessions.sign_in(connection, known.id, PROVIDER)

        return found_or(await self._database.transaction(work), otp_invalid())

    async def by_password(self, email: str, password: str) -> Session:
        known = await self._database.read(
            lambda connection: repository.find_by_email(connection, email, locked=False)
        )
        stored = known.password_hash if known is not None else None
        if not await self._passwords.verify(password, stored) or known is None:
            raise wrong_password()
        if not known.confirmed:
            raise not_confirmed()
        return await self._database.transaction(
            lambda connection: self._sessions.sign_in(connection, known.id, PROVIDER)
        )

    async def mail_code(self, email: str) -> datetime:
        code = self._mailer.new_code()

        async def work(connection: Connection) -> tuple[str | None, datetime]:
            known = await repository.find_by_email(connection, email)
            if known is None or not known.confirmed:
                return None, _code_end()
            return known.email, await codes.issue(connection, known.id, code)

        address, expires_at = await self._database.transaction(work)
        if address is not None:
            await send_code(self._mailer, address, code)
        return expires_at

    async def password_change(self, user_id: UUID, password: str) -> str | None:
        return await self._passwords.hash(password)

    async def forget(self, user_id: UUID) -> None:
        """Nothing is kept elsewhere."""


async def change_password(
    connection: Connection, user_id: UUID, password_hash: str | None, keep: UUID | None
) -> None:
    """The new password ends every other session."""
    await repository.set_password_hash(connection, user_id, password_hash)
    await revoke_all(connection, user_id, keep)


async def known_referrer(connection: Connection, code: str | None) -> UUID | None:
    """Whose code it is; 422 for a code that nobody has."""
    if code is None:
        return None
    referrer = await referrals.find_referrer(connection, code)
    if referrer is None:
        raise invalid_fields(("body.referral_code", "is not known"))
    return referrer


def found_or(session: Session | None, refusal: CallerError) -> Session:
    if session is None:
        raise refusal
    return session


def otp_invalid() -> CallerError:
    return CallerError(Code.OTP_INVALID, "The code is wrong, used or expired")


def wrong_password() -> CallerError:
    return CallerError(Code.CREDENTIALS_INVALID, "The address or the password is wrong")


def not_confirmed() -> CallerError:
    text = "Confirm the address with the mailed code first"
    return CallerError(Code.ACCOUNT_NOT_CONFIRMED, text)


def _code_end() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=codes.LIFETIME_MINUTES)


async def _unconfirmed(
    connection: Connection, wanted: CreateAccount, password_hash: str | None
) -> UUID:
    """The account to confirm: a new one, or the unconfirmed one with this address."""
    made = await repository.insert_user(
        connection,
        wanted.email,
        confirmed=False,
        password_hash=password_hash,
        name=wanted.name,
    )
    if made is not None:
        return made
    known = await repository.find_by_email(connection, wanted.email)
    if known is None or known.confirmed:
        raise email_taken()
    await repository.start_again(connection, known.id, wanted.email, password_hash, wanted.name)
    return known.id
