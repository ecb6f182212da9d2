"""Sessions: access tokens and the families of refresh tokens behind them."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from uuid import UUID

from monolith.auth.accounts import read_user
from monolith.auth.models import Session
from monolith.context import Context
from monolith.database import Connection
from monolith.errors import ApiError
from monolith.tokens import LIFETIME_SECONDS

REFRESH_DAYS = 30
REUSE_SECONDS = 10  # a client that lost the answer may present the token again this long


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def open_session(
    context: Context,
    connection: Connection,
    user_id: UUID,
    provider: str,
    family_id: UUID | None = None,
) -> Session:
    """A new pair of tokens; without a family a new one is begun."""
    user, _ = await read_user(context, connection, user_id)
    family = family_id or uuid.uuid4()
    refresh_token = secrets.token_urlsafe(32)  # 43 characters
    await connection.execute(
        "INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at)"
        " VALUES ($1, $2, $3, now() + make_interval(days => $4))",
        token_hash(refresh_token),
        family,
        user_id,
        REFRESH_DAYS,
    )
    issued = int(time.time())
    claims = {
        "iss": context.settings.jwt_issuer or context.settings.public_base_url,
        "sub": str(user_id),
        "aud": "authenticated",
        "role": "authenticated",
        "email": user.email,
        "session_id": str(family),
        "iat": issued,
        "exp": issued + LIFETIME_SECONDS,
        "app_metadata": {"tier": user.tier, "provider": provider},
        "user_metadata": {"name": user.name},
    }
    return Session(
        access_token=context.tokens.sign(claims),
        refresh_token=refresh_token,
        expires_in=LIFETIME_SECONDS,
        expires_at=issued + LIFETIME_SECONDS,
        user=user,
    )


async def rotate(context: Context, refresh_token: str) -> Session:
    """Spend a refresh token for a new pair; an old spent one revokes its family."""
    digest = token_hash(refresh_token)
    async with context.database.transaction() as connection:
        row = await connection.fetchrow(
            "SELECT family_id, user_id, expires_at > now() AS alive, revoked_at, rotated_at,"
            " rotated_at < now() - make_interval(secs => $2) AS replayed"
            " FROM refresh_tokens WHERE token_hash = $1 FOR UPDATE",
            digest,
            REUSE_SECONDS,
        )
        usable = row is not None and row["alive"] and row["revoked_at"] is None
        if row is not None and usable and row["replayed"]:
            await revoke_family(connection, row["family_id"])
        elif row is not None and usable:
            await connection.execute(
                "UPDATE refresh_tokens SET rotated_at = COALESCE(rotated_at, now())"
                " WHERE token_hash = $1",
                digest,
            )
            provider = await _provider(connection, row["user_id"])
            return await open_session(
                context, connection, row["user_id"], provider, row["family_id"]
            )
    raise ApiError("TOKEN_INVALID", "The refresh token is not valid")


async def _provider(connection: Connection, user_id: UUID) -> str:
    provider = await connection.fetchval(
        "SELECT provider FROM auth_identities WHERE user_id = $1 ORDER BY created_at LIMIT 1",
        user_id,
    )
    return provider or "email"


async def revoke_family(connection: Connection, family_id: UUID) -> None:
    await connection.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE family_id = $1 AND revoked_at IS NULL",
        family_id,
    )


async def revoke_all(connection: Connection, user_id: UUID, keep: UUID | None = None) -> None:
    """Revoke every family of a user but the one to keep."""
    await connection.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE user_id = $1"
        " AND revoked_at IS NULL AND family_id IS DISTINCT FROM $2",
        user_id,
        keep,
    )
