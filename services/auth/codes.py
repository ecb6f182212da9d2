"""One-time codes: one live code per account, ten minutes, five tries. Owns the SQL on `otp_codes`."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from datetime import datetime
from uuid import UUID

from shared.placement import Connection

LIFETIME_MINUTES = 10  # contract, 2.1
TRIES_MAX = 5  # contract, 2.1

_INSERT = """INSERT INTO otp_codes (id, user_id, code_hash, expires_at)
 VALUES ($1, $2, $3, now() + make_interval(mins => $4)) RETURNING expires_at"""
_LIVE = """SELECT id, code_hash, attempts, expires_at > now() AS alive FROM otp_codes
 WHERE user_id = $1 AND used_at IS NULL FOR UPDATE"""


def code_hash(code_id: UUID, code: str) -> str:
    """Hex SHA-256 of `<otp id>:<code>`, the same in every app."""
    return hashlib.sha256(f"{code_id}:{code}".encode()).hexdigest()


async def issue(connection: Connection, user_id: UUID, code: str) -> datetime:
    """Store a new code, the old one dies; returns when it ends. Locks the account's row."""
    await connection.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", user_id)
    await connection.execute(
        "UPDATE otp_codes SET used_at = now() WHERE user_id = $1 AND used_at IS NULL", user_id
    )
    code_id = uuid.uuid4()
    expires: datetime = await connection.fetchval(
        _INSERT, code_id, user_id, code_hash(code_id, code), LIFETIME_MINUTES
    )
    return expires


async def use(connection: Connection, user_id: UUID, code: str) -> bool:
    """Spend the live code. A wrong try is counted, so the transaction must commit either way."""
    live = await connection.fetchrow(_LIVE, user_id)
    if live is None or not live["alive"] or live["attempts"] >= TRIES_MAX:
        return False
    if not hmac.compare_digest(live["code_hash"], code_hash(live["id"], code)):
        await connection.execute(
            "UPDATE otp_codes SET attempts = attempts + 1 WHERE id = $1", live["id"]
        )
        return False
    await connection.execute("UPDATE otp_codes SET used_at = now() WHERE id = $1", live["id"])
    return True
