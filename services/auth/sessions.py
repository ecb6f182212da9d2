"""Sessions: access tokens and the families of refresh tokens behind them. Owns the SQL on `refresh_tokens`."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from uuid import UUID

from services.auth.models import ShownUser
from services.auth.news import tell
from services.auth.repository import first_provider, note_sign_in, read_user
from shared.auth.tokens import ACCESS_SECONDS, TokenIssuer
from shared.contract.auth import Session
from shared.placement import Connection

REFRESH_DAYS = 30  # contract, 2.1
REUSE_SECONDS = 10  # contract, 2.1: a client that lost the answer may present the token again
REFRESH_BYTES = 32  # 43 characters of base64url

_INSERT = """INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at)
 VALUES ($1, $2, $3, now() + make_interval(days => $4))"""
_PRESENTED = """SELECT family_id, user_id, expires_at > now() AS alive, revoked_at,
  rotated_at < now() - make_interval(secs => $2) AS replayed
 FROM refresh_tokens WHERE token_hash = $1 FOR UPDATE"""
_SPEND = "UPDATE refresh_tokens SET rotated_at = COALESCE(rotated_at, now()) WHERE token_hash = $1"
_REVOKE_FAMILY = """UPDATE refresh_tokens SET revoked_at = now()
 WHERE family_id = $1 AND revoked_at IS NULL"""
_REVOKE_ALL = """UPDATE refresh_tokens SET revoked_at = now()
 WHERE user_id = $1 AND revoked_at IS NULL AND family_id IS DISTINCT FROM $2"""


def token_hash(token: str) -> str:
    """How a refresh token is stored, the same in every app."""
    return hashlib.sha256(token.encode()).hexdigest()


class Sessions:
    """Opens, renews and ends sessions inside the transactions of others."""

    def __init__(self, issuer: TokenIssuer, public_base_url: str) -> None:
        self._issuer = issuer
        self._public_base_url = public_base_url

    async def read_user(self, connection: Connection, user_id: UUID) -> ShownUser:
        return await read_user(connection, user_id, self._public_base_url)

    async def sign_in(self, connection: Connection, user_id: UUID, provider: str) -> Session:
        """A session of a person who has just proven who they are; publishes user.logged_in."""
        await note_sign_in(connection, user_id)
        await tell(connection, "user.logged_in", user_id, {"provider": provider})
        return await self.open(connection, user_id, provider, uuid.uuid4())

    async def open(
        self, connection: Connection, user_id: UUID, provider: str, family_id: UUID
    ) -> Session:
        """A new pair of tokens in a family."""
        user = (await self.read_user(connection, user_id)).user
        refresh_token = secrets.token_urlsafe(REFRESH_BYTES)
        await connection.execute(
            _INSERT, token_hash(refresh_token), family_id, user_id, REFRESH_DAYS
        )
        expires_at = int(time.time()) + ACCESS_SECONDS
        access_token = self._issuer.access_token(
            user_id,
            email=user.email,
            session_id=family_id,
            tier=user.tier,
            provider=provider,
            name=user.name,
        )
        return Session(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_in=ACCESS_SECONDS,
            expires_at=expires_at,
            user=user,
        )

    async def renew(self, connection: Connection, refresh_token: str) -> Session | None:
        """Spend a refresh token for a new pair; an old spent one revokes its family.

        None for a token that is not good; the transaction must commit either way.
        """
        digest = token_hash(refresh_token)
        row = await connection.fetchrow(_PRESENTED, digest, REUSE_SECONDS)
        if row is None or not row["alive"] or row["revoked_at"] is not None:
            return None
        if row["replayed"]:
            await connection.execute(_REVOKE_FAMILY, row["family_id"])
            return None
        await connection.execute(_SPEND, digest)
        provider = await first_provider(connection, row["user_id"]) or "email"
        return await self.open(connection, row["user_id"], provider, row["family_id"])


async def revoke_family_of(connection: Connection, user_id: UUID, refresh_token: str) -> None:
    """End the session that a token of this user belongs to; nothing for a stranger's token."""
    family = await connection.fetchval(
        "SELECT family_id FROM refresh_tokens WHERE token_hash = $1 AND user_id = $2",
        token_hash(refresh_token),
        user_id,
    )
    if family is not None:
        await connection.execute(_REVOKE_FAMILY, family)


async def revoke_all(connection: Connection, user_id: UUID, keep: UUID | None = None) -> None:
    """End every session of a user but the one to keep."""
    await connection.execute(_REVOKE_ALL, user_id, keep)
