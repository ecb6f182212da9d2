"""Sign-up, one-time codes, passwords: the routes that open and close sessions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import Response

from monolith.auth import referrals
from monolith.auth.accounts import find_by_email, insert_user
from monolith.auth.codes import LIFETIME_MINUTES, issue_code, use_code
from monolith.auth.mail import MailRoom
from monolith.auth.models import (
    CodeSent,
    CreateAccountIn,
    CreateAccountOut,
    LoginIn,
    LogoutIn,
    RefreshIn,
    Session,
    VerifyOtpIn,
)
from monolith.auth.passwords import Passwords
from monolith.auth.router import router
from monolith.auth.sessions import open_session, revoke_all, revoke_family, rotate, token_hash
from monolith.calls import Call, CurrentCall, empty, reply
from monolith.database import Connection, Row, emit
from monolith.errors import ApiError, invalid_field

PROVIDER = "email"


@router.route(
    "create_account",
    "POST",
    "/api/auth/create-account",
    auth="public",
    kind="write",
    bucket="sensitive",
    answer=CreateAccountOut,
    success=201,
)
async def create_account(call: CurrentCall, body: CreateAccountIn) -> Response:
    password_hash = None
    if body.password is not None:
        password_hash = await call.context.part(Passwords).hash(body.password)
    mail = call.context.part(MailRoom)
    code = mail.mailer.new_code()
    async with call.context.database.transaction() as connection:
        referrer = await _referrer(connection, body.referral_code)
        user_id = await _unconfirmed(connection, body, password_hash)
        if referrer is not None and referrer != user_id:
            await connection.execute(
                "INSERT INTO referrals (referrer_id, referee_id) VALUES ($1, $2)"
                " ON CONFLICT (referee_id) DO UPDATE SET referrer_id = excluded.referrer_id"
                " WHERE referrals.status = 'pending'",
                referrer,
                user_id,
            )
        expires = await issue_code(connection, user_id, code)
    await mail.send_code(body.email, code)
    return reply(CreateAccountOut(user_id=user_id, email=body.email, otp_expires_at=expires), 201)


async def _referrer(connection: Connection, code: str | None) -> UUID | None:
    if code is None:
        return None
    referrer = await referrals.find_referrer(connection, code)
    if referrer is None:
        raise invalid_field("body.referral_code", "is not known")
    return referrer


async def _unconfirmed(
    connection: Connection, body: CreateAccountIn, password_hash: str | None
) -> UUID:
    """The account to confirm: a new one, or the unconfirmed one with this address."""
    made = await insert_user(connection, body.email, password_hash, confirmed=False, name=body.name)
    if made is not None:
        return made
    known = await find_by_email(connection, body.email)
    if known is None or known["confirmed"]:
        raise ApiError("EMAIL_TAKEN", "An account with this address exists")
    await connection.execute(
        "UPDATE users SET email = $2, password_hash = COALESCE($3, password_hash) WHERE id = $1",
        known["id"],
        body.email,
        password_hash,
    )
    await connection.execute(
        "UPDATE user_profiles SET name = COALESCE($2, name) WHERE user_id = $1",
        known["id"],
        body.name,
    )
    return UUID(str(known["id"]))


@router.route(
    "verify_otp",
    "POST",
    "/api/auth/verify-otp",
    auth="public",
    kind="write",
    bucket="sensitive",
    answer=Session,
)
async def verify_otp(call: CurrentCall, body: VerifyOtpIn) -> Response:
    async with call.context.database.transaction() as connection:
        known = await find_by_email(connection, body.email)
        if known is not None and await use_code(connection, known["id"], body.code):
            if not known["confirmed"]:
                await confirm_account(call, connection, known["id"], PROVIDER)
            return reply(await signed_in(call, connection, known["id"], PROVIDER))
    raise ApiError("OTP_INVALID", "The code is wrong, used or expired")


async def confirm_account(call: Call, connection: Connection, user_id: UUID, provider: str) -> None:
    """First proof of the address: the account begins, its referral counts."""
    row = await connection.fetchrow(
        "UPDATE users u SET confirmed = true FROM user_profiles p"
        " WHERE u.id = $1 AND p.user_id = u.id RETURNING u.email, p.name, u.referral_code",
        user_id,
    )
    if row is None:
        return
    referred_by = await connection.fetchval(
        "SELECT referrer_id FROM referrals WHERE referee_id = $1", user_id
    )
    await announce_user(call.request_id, connection, user_id, row, provider, referred_by)
    await referrals.confirm_pending(connection, user_id, call.request_id)


async def announce_user(
    request_id: str | None,
    connection: Connection,
    user_id: UUID,
    row: Row,
    provider: str,
    referred_by: UUID | None = None,
) -> None:
    """Publish user.created."""
    data = {
        "email": row["email"],
        "name": row["name"],
        "provider": provider,
        "referral_code": row["referral_code"],
        "referred_by": None if referred_by is None else str(referred_by),
    }
    await emit(connection, "user.created", user_id, data, "auth", request_id)


async def signed_in(call: Call, connection: Connection, user_id: UUID, provider: str) -> Session:
    await connection.execute("UPDATE users SET last_login_at = now() WHERE id = $1", user_id)
    await emit(
        connection, "user.logged_in", user_id, {"provider": provider}, "auth", call.request_id
    )
    return await open_session(call.context, connection, user_id, provider)


@router.route(
    "login",
    "POST",
    "/api/auth/login",
    auth="public",
    kind="write",
    bucket="sensitive",
    answer=Session,
    also={202: {"model": CodeSent}},
)
async def login(call: CurrentCall, body: LoginIn) -> Response:
    if body.password is None:
        return await _mail_login_code(call, body.email)
    async with call.context.database.connection() as connection:
        known = await connection.fetchrow(
            "SELECT id, password_hash, confirmed FROM users"
            " WHERE lower(email) = lower($1) AND deleted_at IS NULL",
            body.email,
        )
    stored = known["password_hash"] if known else None
    if not await call.context.part(Passwords).verify(body.password, stored) or known is None:
        raise ApiError("CREDENTIALS_INVALID", "The address or the password is wrong")
    if not known["confirmed"]:
        raise ApiError("ACCOUNT_NOT_CONFIRMED", "Confirm the address with the mailed code first")
    async with call.context.database.transaction() as connection:
        return reply(await signed_in(call, connection, known["id"], PROVIDER))


async def _mail_login_code(call: Call, email: str) -> Response:
    """The same answer for every address, so that it tells nobody which accounts exist."""
    mail = call.context.part(MailRoom)
    code = mail.mailer.new_code()
    expires = datetime.now(UTC) + timedelta(minutes=LIFETIME_MINUTES)
    address = None
    async with call.context.database.transaction() as connection:
        known = await find_by_email(connection, email)
        if known is not None and known["confirmed"]:
            address = known["email"]
            expires = await issue_code(connection, known["id"], code)
    if address is not None:
        await mail.send_code(address, code)
    return reply(CodeSent(otp_expires_at=expires), 202)


@router.route(
    "refresh",
    "POST",
    "/api/auth/refresh",
    auth="public",
    kind="write",
    bucket="sensitive",
    answer=Session,
)
async def refresh(call: CurrentCall, body: RefreshIn) -> Response:
    return reply(await rotate(call.context, body.refresh_token))


@router.route(
    "logout",
    "POST",
    "/api/auth/logout",
    auth="user",
    kind="write",
    bucket="default",
    success=204,
)
async def logout(call: CurrentCall, body: LogoutIn) -> Response:
    async with call.context.database.transaction() as connection:
        if body.refresh_token is None:
            await revoke_all(connection, call.user_id)
            return empty()
        family = await connection.fetchval(
            "SELECT family_id FROM refresh_tokens WHERE token_hash = $1 AND user_id = $2",
            token_hash(body.refresh_token),
            call.user_id,
        )
        if family is not None:
            await revoke_family(connection, family)
    return empty()
