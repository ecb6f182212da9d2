"""Changes of an account that come from outside or end it: sync, erase; with their events."""

from __future__ import annotations

from uuid import UUID

from monolith.auth.accounts import insert_user, user_facts
from monolith.auth.sessions import revoke_all
from monolith.auth.sign_in import announce_user
from monolith.database import Connection, emit
from monolith.errors import ApiError

NAME_MAX = 80


def clean_name(name: str | None) -> str | None:
    """A name of somebody else's making, cut to what fits here."""
    return (name or "").replace("\x00", "").strip()[:NAME_MAX] or None


async def is_deleted(connection: Connection, user_id: UUID) -> bool | None:
    """None if there is no such account."""
    gone: bool | None = await connection.fetchval(
        "SELECT deleted_at IS NOT NULL FROM users WHERE id = $1 FOR UPDATE", user_id
    )
    return gone


async def create_outside_user(
    connection: Connection,
    user_id: UUID | None,
    email: str,
    name: str | None,
    provider: str,
    request_id: str | None,
) -> UUID | None:
    """A confirmed account for somebody whom a hosted service signed up.

    None if another request has just made the account with this id; EMAIL_TAKEN if the address is
    somebody else's.
    """
    made = await insert_user(
        connection, email, None, confirmed=True, user_id=user_id, name=clean_name(name)
    )
    if made is None and user_id is not None and await is_deleted(connection, user_id) is not None:
        return None
    if made is None:
        raise ApiError("EMAIL_TAKEN", "Another account has this address")
    facts = await user_facts(connection, made)
    await announce_user(request_id, connection, made, facts, provider)
    return made


async def update_outside_user(
    connection: Connection,
    user_id: UUID,
    email: str | None,
    name: str | None,
    request_id: str | None,
) -> None:
    """Take over address and name; publishes user.updated with what really changed."""
    facts = await user_facts(connection, user_id)
    changed: list[str] = []
    wanted = clean_name(name)
    if email is not None and email.lower() != (facts["email"] or "").lower():
        taken = await connection.fetchval(
            "SELECT true FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL"
            " AND id <> $2",
            email,
            user_id,
        )
        if taken:
            raise ApiError("EMAIL_TAKEN", "Another account has this address")
        await connection.execute("UPDATE users SET email = $2 WHERE id = $1", user_id, email)
        changed.append("email")
    if wanted is not None and wanted != facts["name"]:
        await connection.execute(
            "INSERT INTO user_profiles (user_id, name) VALUES ($1, $2)"
            " ON CONFLICT (user_id) DO UPDATE SET name = excluded.name",
            user_id,
            wanted,
        )
        changed.append("name")
    if changed:
        await emit(connection, "user.updated", user_id, {"changed": changed}, "auth", request_id)


async def erase_account(connection: Connection, user_id: UUID, request_id: str | None) -> bool:
    """Mark an account deleted and clear its data here; the others follow by user.deleted."""
    done = await connection.fetchval(
        "UPDATE users SET deleted_at = now(), email = NULL, password_hash = NULL,"
        " last_login_at = NULL WHERE id = $1 AND deleted_at IS NULL RETURNING true",
        user_id,
    )
    if not done:
        return False
    await revoke_all(connection, user_id)
    for table in ("user_profiles", "auth_identities", "otp_codes"):
        await connection.execute(
            f"DELETE FROM {table} WHERE user_id = $1",  # noqa: S608 - constants above
            user_id,
        )
    await emit(connection, "user.deleted", user_id, {}, "auth", request_id)
    return True
