"""Idempotency-Key: one row per user, route and key, so that a repeated request answers the same."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

from fastapi import Response

from monolith.database import Database
from monolith.errors import ApiError, malformed

KEY = re.compile(r"[\x21-\x7e]{1,255}")
LOCK_SECONDS = 180

CLAIM = """
INSERT INTO idempotency_keys (user_id, route, key, request_hash, locked_until)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
ON CONFLICT (user_id, route, key) DO UPDATE
  SET request_hash = excluded.request_hash, state = 'in_progress', status = NULL,
      content_type = NULL, body = NULL, locked_until = excluded.locked_until,
      created_at = now(), expires_at = now() + interval '24 hours'
  WHERE idempotency_keys.expires_at <= now()
     OR (idempotency_keys.state = 'in_progress' AND idempotency_keys.locked_until <= now())
RETURNING locked_until"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one request under its key."""

    user_id: UUID
    route: str
    key: str
    locked_until: object


def read_key(value: str | None) -> str | None:
    """The header's value, or MALFORMED_REQUEST."""
    if value is None:
        return None
    if KEY.fullmatch(value) is None:
        raise malformed("Idempotency-Key must be 1 to 255 visible ASCII characters")
    return value


def json_hash(method: str, path: str, body: bytes) -> str:
    return hashlib.sha256(f"{method}\n{path}\n".encode() + body).hexdigest()


def form_hash(method: str, path: str, parts: list[tuple[str, bytes]]) -> str:
    """Multipart bodies differ in their boundary, so the fields are hashed one by one."""
    lines = sorted(f"{name}:{hashlib.sha256(value).hexdigest()}" for name, value in parts)
    return json_hash(method, path, "\n".join(lines).encode())


async def claim(
    database: Database, user_id: UUID, route: str, key: str, request_hash: str
) -> Claim | Response:
    """Take the key; a finished request gives its stored answer, a running one raises 409."""
    row = await database.row(CLAIM, user_id, route, key, request_hash, LOCK_SECONDS)
    if row is not None:
        return Claim(user_id, route, key, row["locked_until"])
    known = await database.row(
        "SELECT request_hash, state, status, content_type, body FROM idempotency_keys"
        " WHERE user_id = $1 AND route = $2 AND key = $3",
        user_id,
        route,
        key,
    )
    if known is not None and known["request_hash"] != request_hash:
        raise ApiError("IDEMPOTENCY_KEY_REUSED", "This key was used for another request")
    if known is None or known["state"] != "completed":
        raise ApiError(
            "IDEMPOTENCY_IN_PROGRESS",
            "The first request with this key is still running",
            headers={"Retry-After": "1"},
        )
    headers = {"Idempotency-Replayed": "true", "Content-Type": known["content_type"]}
    if known["content_type"].startswith("text/event-stream"):
        headers |= {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    return Response(known["body"], known["status"], headers)


async def complete(
    database: Database, held: Claim, status: int, content_type: str, body: bytes
) -> None:
    """Keep a 2xx answer for 24 hours."""
    await database.execute(
        "UPDATE idempotency_keys SET state = 'completed', status = $5, content_type = $6,"
        " body = $7 WHERE user_id = $1 AND route = $2 AND key = $3 AND locked_until = $4",
        held.user_id,
        held.route,
        held.key,
        held.locked_until,
        status,
        content_type,
        body,
    )


async def release(database: Database, held: Claim) -> None:
    """Free the key after a request that had no effect."""
    await database.execute(
        "DELETE FROM idempotency_keys WHERE user_id = $1 AND route = $2 AND key = $3"
        " AND locked_until = $4 AND state = 'in_progress'",
        held.user_id,
        held.route,
        held.key,
        held.locked_until,
    )


async def forget_expired(database: Database) -> None:
    """Delete keys older than a day, a thousand at a time."""
    await database.execute(
        "DELETE FROM idempotency_keys WHERE ctid IN (SELECT ctid FROM idempotency_keys"
        " WHERE expires_at <= now() LIMIT 1000)"
    )
