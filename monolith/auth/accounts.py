"""Rows of users and user_profiles, and the User object made of them."""

from __future__ import annotations

import secrets
from datetime import datetime
from uuid import UUID

from monolith.auth.models import User
from monolith.context import Context
from monolith.database import Connection, Database, Row, one
from monolith.errors import ApiError

CODE_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
CODE_LENGTH = 8

USER = """
SELECT u.id, u.email, u.confirmed, u.referral_code, u.onboarding_status, u.last_login_at,
       u.created_at, u.updated_at, u.deleted_at, p.name, p.avatar_media_id, p.phone, p.country,
       COALESCE(p.language, 'en') AS language, p.birth_year,
       COALESCE(p.preferences, '{}'::jsonb) AS preferences, t.tier,
       GREATEST(u.updated_at, p.updated_at,
                (SELECT max(s.updated_at) FROM subscriptions s WHERE s.user_id = u.id)) AS changed_at
FROM users u LEFT JOIN user_profiles p ON p.user_id = u.id JOIN user_tiers t ON t.user_id = u.id
WHERE u.id = $1"""


def new_referral_code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))


def user_of(context: Context, row: Row) -> User:
    return User(
        id=row["id"],
        email=row["email"] or "",
        name=row["name"],
        avatar_url=context.image_url(row["avatar_media_id"]),
        phone=row["phone"],
        country=row["country"],
        language=row["language"],
        birth_year=row["birth_year"],
        tier=row["tier"],
        premium=row["tier"],
        confirmed=row["confirmed"],
        referral_code=row["referral_code"],
        onboarding_status=row["onboarding_status"],
        preferences=row["preferences"],
        last_login_at=row["last_login_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def read_user(
    context: Context, source: Database | Connection, user_id: UUID
) -> tuple[User, datetime]:
    """The user and the moment of the latest change that shows in it; the tier is not cached."""
    row = await (
        source.row(USER, user_id)
        if isinstance(source, Database)
        else source.fetchrow(USER, user_id)
    )
    if row is None:
        raise ApiError("ACCOUNT_NOT_PROVISIONED", "Call POST /api/auth/sync first")
    if row["deleted_at"] is not None:
        raise ApiError("ACCOUNT_DELETED", "This account was deleted")
    return user_of(context, row), row["changed_at"]


async def find_by_email(connection: Connection, email: str) -> Row | None:
    row: Row | None = await connection.fetchrow(
        "SELECT id, email, password_hash, confirmed FROM users"
        " WHERE lower(email) = lower($1) AND deleted_at IS NULL FOR UPDATE",
        email,
    )
    return row


async def insert_user(
    connection: Connection,
    email: str,
    password_hash: str | None,
    *,
    confirmed: bool,
    user_id: UUID | None = None,
    name: str | None = None,
) -> UUID | None:
    """A new account with its profile; None if the address or the id is taken."""
    for _ in range(5):  # a referral code that is taken already is as rare as 1 in 2^40
        made = await connection.fetchval(
            "INSERT INTO users (id, email, password_hash, confirmed, referral_code)"
            " VALUES (COALESCE($1, gen_random_uuid()), $2, $3, $4, $5)"
            " ON CONFLICT DO NOTHING RETURNING id",
            user_id,
            email,
            password_hash,
            confirmed,
            new_referral_code(),
        )
        if made is not None:
            await connection.execute(
                "INSERT INTO user_profiles (user_id, name) VALUES ($1, $2)", made, name
            )
            return UUID(str(made))
        taken = await connection.fetchval(
            "SELECT true FROM users WHERE id = $1 OR (lower(email) = lower($2)"
            " AND deleted_at IS NULL)",
            user_id,
            email,
        )
        if taken:
            return None
    raise ApiError("CONFLICT", "No free referral code was found")


async def user_facts(connection: Connection, user_id: UUID) -> Row:
    """Address, name and referral code of an account that is there."""
    return await one(
        connection,
        "SELECT u.email, p.name, u.referral_code FROM users u"
        " LEFT JOIN user_profiles p ON p.user_id = u.id WHERE u.id = $1",
        user_id,
    )
