"""The SQL of accounts and profiles; knows no HTTP, no password and no token."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from uuid import UUID

import asyncpg

from services.auth.models import AccountFacts, KnownAccount, ShownUser, known_account, user_of
from shared.errors import CallerError, Code
from shared.placement import Connection

CODE_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
CODE_LENGTH = 8
#: A referral code that is taken is as rare as 1 in 2^40.
CODE_TRIES = 5
#: Columns of a profile that the owner may change, in the order in which changes are told.
PROFILE_COLUMNS = (
    "name",
    "avatar_media_id",
    "phone",
    "country",
    "language",
    "birth_year",
    "preferences",
)

_USER = """
SELECT u.id, u.email, u.confirmed, u.referral_code, u.onboarding_status, u.last_login_at,
  u.created_at, u.updated_at, u.deleted_at, p.name, p.avatar_media_id, p.phone, p.country,
  COALESCE(p.language, 'en') AS language, p.birth_year,
  COALESCE(p.preferences, '{}'::jsonb)::text AS preferences, t.tier,
  GREATEST(u.updated_at, p.updated_at,
    (SELECT max(s.updated_at) FROM subscriptions s WHERE s.user_id = u.id)) AS changed_at
FROM users u LEFT JOIN user_profiles p ON p.user_id = u.id JOIN user_tiers t ON t.user_id = u.id
WHERE u.id = $1"""
_BY_EMAIL = """SELECT id, email, password_hash, confirmed FROM users
 WHERE lower(email) = lower($1) AND deleted_at IS NULL"""
_INSERT = """INSERT INTO users (id, email, password_hash, confirmed, referral_code)
 VALUES (COALESCE($1, gen_random_uuid()), $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING id"""
_TAKEN = """SELECT true FROM users
 WHERE id = $1 OR (lower(email) = lower($2) AND deleted_at IS NULL)"""
_FACTS = """SELECT u.email, p.name, u.referral_code FROM users u
 LEFT JOIN user_profiles p ON p.user_id = u.id WHERE u.id = $1"""
_CONFIRM = """UPDATE users u SET confirmed = true FROM user_profiles p
 WHERE u.id = $1 AND p.user_id = u.id RETURNING u.email, p.name, u.referral_code"""
_LINK = """INSERT INTO auth_identities (provider, external_id, user_id) VALUES ($1, $2, $3)
 ON CONFLICT DO NOTHING"""


async def read_user(connection: Connection, user_id: UUID, public_base_url: str) -> ShownUser:
    """The account as its owner sees it, never from a cache. Raises CallerError."""
    row = await connection.fetchrow(_USER, user_id)
    if row is None:
        raise CallerError(Code.ACCOUNT_NOT_PROVISIONED, "Call POST /api/auth/sync first")
    if row["deleted_at"] is not None:
        raise CallerError(Code.ACCOUNT_DELETED, "This account was deleted")
    return ShownUser(user_of(row, public_base_url), row["changed_at"])


async def find_by_email(
    connection: Connection, email: str, *, locked: bool = True
) -> KnownAccount | None:
    """The living account that has an address."""
    row = await connection.fetchrow(_BY_EMAIL + (" FOR UPDATE" if locked else ""), email)
    return None if row is None else known_account(row)


async def insert_user(
    connection: Connection,
    email: str,
    *,
    confirmed: bool,
    password_hash: str | None = None,
    user_id: UUID | None = None,
    name: str | None = None,
) -> UUID | None:
    """A new account with its profile; None if the address or the id is taken."""
    for _ in range(CODE_TRIES):
        code = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
        made: UUID | None = await connection.fetchval(
            _INSERT, user_id, email, password_hash, confirmed, code
        )
        if made is not None:
            await connection.execute(
                "INSERT INTO user_profiles (user_id, name) VALUES ($1, $2)", made, name
            )
            return made
        if await connection.fetchval(_TAKEN, user_id, email):
            return None
    raise CallerError(Code.CONFLICT, "No free referral code was found")


async def start_again(
    connection: Connection, user_id: UUID, email: str, password_hash: str | None, name: str | None
) -> None:
    """A second sign-up of an unconfirmed account: what is given now replaces what was."""
    await connection.execute(
        "UPDATE users SET email = $2, password_hash = COALESCE($3, password_hash) WHERE id = $1",
        user_id,
        email,
        password_hash,
    )
    await connection.execute(
        "UPDATE user_profiles SET name = COALESCE($2, name) WHERE user_id = $1", user_id, name
    )


async def facts_of(connection: Connection, user_id: UUID) -> AccountFacts:
    """Address, name and referral code of an account that is there."""
    row = await connection.fetchrow(_FACTS, user_id)
    if row is None:
        raise CallerError(Code.ACCOUNT_NOT_PROVISIONED, "There is no such account")
    return AccountFacts(row["email"] or "", row["name"], row["referral_code"])


async def confirm(connection: Connection, user_id: UUID) -> AccountFacts | None:
    """Note that the address is proven."""
    row = await connection.fetchrow(_CONFIRM, user_id)
    return None if row is None else AccountFacts(row["email"], row["name"], row["referral_code"])


async def is_deleted(connection: Connection, user_id: UUID) -> bool | None:
    """Locks the account; None if there is none."""
    gone: bool | None = await connection.fetchval(
        "SELECT deleted_at IS NOT NULL FROM users WHERE id = $1 FOR UPDATE", user_id
    )
    return gone


async def note_sign_in(connection: Connection, user_id: UUID) -> bool:
    """False for an account that is gone."""
    return bool(
        await connection.fetchval(
            "UPDATE users SET last_login_at = now() WHERE id = $1 AND deleted_at IS NULL"
            " RETURNING true",
            user_id,
        )
    )


async def is_taken_by_another(connection: Connection, email: str, user_id: UUID) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT true FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL"
            " AND id <> $2",
            email,
            user_id,
        )
    )


async def is_confirmed_address(connection: Connection, email: str) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT true FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL"
            " AND confirmed",
            email,
        )
    )


async def set_email(connection: Connection, user_id: UUID, email: str) -> None:
    await connection.execute("UPDATE users SET email = $2 WHERE id = $1", user_id, email)


async def set_password_hash(
    connection: Connection, user_id: UUID, password_hash: str | None
) -> None:
    await connection.execute(
        "UPDATE users SET password_hash = $2 WHERE id = $1", user_id, password_hash
    )


async def set_onboarding(connection: Connection, user_id: UUID, status: str) -> None:
    await connection.execute(
        "UPDATE users SET onboarding_status = $2 WHERE id = $1", user_id, status
    )


async def change_profile(
    connection: Connection, user_id: UUID, given: Mapping[str, object]
) -> list[str]:
    """Write the columns that are given; returns their names in the order of PROFILE_COLUMNS.

    Raises asyncpg.ForeignKeyViolationError for an image that went meanwhile.
    """
    names = [name for name in PROFILE_COLUMNS if name in given]
    if not names:
        return []
    values = [json.dumps(given[n]) if n == "preferences" else given[n] for n in names]
    columns = ", ".join(names)
    numbers = ", ".join(f"${position}" for position in range(2, len(names) + 2))
    updates = ", ".join(f"{name} = excluded.{name}" for name in names)
    await connection.execute(
        f"INSERT INTO user_profiles (user_id, {columns}) VALUES ($1, {numbers})"  # noqa: S608
        f" ON CONFLICT (user_id) DO UPDATE SET {updates}",
        user_id,
        *values,
    )
    return names


async def forget_avatar(connection: Connection, media_id: UUID) -> None:
    """Nobody's picture any more."""
    await connection.execute(
        "UPDATE user_profiles SET avatar_media_id = NULL WHERE avatar_media_id = $1", media_id
    )


async def mark_deleted(connection: Connection, user_id: UUID) -> bool:
    """The account is gone at once, with what auth knows about the person; False if it was."""
    done = await connection.fetchval(
        "UPDATE users SET deleted_at = now(), email = NULL, password_hash = NULL,"
        " last_login_at = NULL WHERE id = $1 AND deleted_at IS NULL RETURNING true",
        user_id,
    )
    if not done:
        return False
    await connection.execute("DELETE FROM user_profiles WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM auth_identities WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM otp_codes WHERE user_id = $1", user_id)
    return True


async def find_identity(connection: Connection, provider: str, external_id: str) -> UUID | None:
    """Our id of somebody whom an outside service calls `external_id`."""
    found: UUID | None = await connection.fetchval(
        "SELECT user_id FROM auth_identities WHERE provider = $1 AND external_id = $2",
        provider,
        external_id,
    )
    return found


async def external_id_of(connection: Connection, provider: str, user_id: UUID) -> str | None:
    """What an outside service calls a user of ours."""
    found: str | None = await connection.fetchval(
        "SELECT external_id FROM auth_identities WHERE provider = $1 AND user_id = $2"
        " ORDER BY created_at LIMIT 1",
        provider,
        user_id,
    )
    return found


async def link(connection: Connection, provider: str, external_id: str, user_id: UUID) -> None:
    await connection.execute(_LINK, provider, external_id, user_id)


async def first_provider(connection: Connection, user_id: UUID) -> str | None:
    found: str | None = await connection.fetchval(
        "SELECT provider FROM auth_identities WHERE user_id = $1 ORDER BY created_at LIMIT 1",
        user_id,
    )
    return found


async def address_of(connection: Connection, user_id: UUID) -> str | None:
    """The address of a living account."""
    found: str | None = await connection.fetchval(
        "SELECT email FROM users WHERE id = $1 AND deleted_at IS NULL", user_id
    )
    return found


def is_missing_image(error: asyncpg.ForeignKeyViolationError) -> bool:
    """Whether a profile was refused because its picture is not there."""
    return error.constraint_name == "x_user_profiles_avatar_media_id"
