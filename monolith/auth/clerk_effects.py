"""What Clerk's deliveries change here; its ids map to ours through auth_identities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from monolith.auth.account_changes import (
    create_outside_user,
    erase_account,
    is_deleted,
    update_outside_user,
)
from monolith.auth.accounts import find_by_email
from monolith.auth.oauth import link
from monolith.context import Context
from monolith.database import Connection, emit
from monolith.webhooks.inbox import DeferredError, Delivery, Outcome, note_user

PROVIDER = "clerk"
# Our identity row goes with the account, so the inbox itself remembers who was deleted.
DELETED = """
UPDATE webhook_inbox SET status = 'processed', processed_at = COALESCE(processed_at, now())
WHERE provider = 'clerk' AND event_type = 'user.deleted'
  AND convert_from(raw, 'UTF8')::jsonb #>> '{data,id}' = $1 RETURNING event_id"""


async def apply_clerk(_context: Context, connection: Connection, delivery: Delivery) -> Outcome:
    data = delivery.body.get("data")
    if not isinstance(data, dict):
        return "ignored"
    external = data.get("user_id" if delivery.event_type == "session.created" else "id")
    if not isinstance(external, str) or not external:
        return "ignored"
    user_id = await _known(connection, external)
    if delivery.event_type in {"user.created", "user.updated"}:
        user_id = await _upsert(connection, external, user_id, data, delivery.event_type)
    elif delivery.event_type not in {"user.deleted", "session.created"}:
        return "ignored"
    elif user_id is None:
        raise DeferredError("the user is not known yet")
    elif delivery.event_type == "user.deleted":
        await erase_account(connection, user_id, None)
    else:
        await _signed_in(connection, user_id)
    if user_id is not None:
        await note_user(connection, delivery, user_id)
    return "processed"


async def _known(connection: Connection, external: str) -> UUID | None:
    found = await connection.fetchval(
        "SELECT user_id FROM auth_identities WHERE provider = 'clerk' AND external_id = $1",
        external,
    )
    return None if found is None else UUID(str(found))


def _email(data: Mapping[str, Any]) -> str | None:
    addresses = [a for a in data.get("email_addresses") or () if isinstance(a, dict)]
    primary = [a for a in addresses if a.get("id") == data.get("primary_email_address_id")]
    for address in (*primary, *addresses):
        if isinstance(address.get("email_address"), str):
            return str(address["email_address"])
    return None


def _name(data: Mapping[str, Any]) -> str | None:
    parts = [data.get("first_name"), data.get("last_name")]
    return " ".join(part for part in parts if isinstance(part, str) and part) or None


async def _upsert(
    connection: Connection,
    external: str,
    user_id: UUID | None,
    data: Mapping[str, Any],
    event_type: str,
) -> UUID | None:
    email, name = _email(data), _name(data)
    if user_id is not None:
        # A late `created` carries the oldest state: it changes nothing that is known.
        if event_type == "user.updated" and not await is_deleted(connection, user_id):
            await update_outside_user(connection, user_id, email, name, None)
        return user_id
    if email is None or await connection.fetchval(DELETED, external) is not None:
        return None
    owner = await find_by_email(connection, email)
    if owner is not None and owner["confirmed"]:
        user_id = UUID(str(owner["id"]))
    elif owner is not None:
        raise DeferredError("somebody is signing up with this address")
    else:
        user_id = await create_outside_user(connection, None, email, name, PROVIDER, None)
    if user_id is not None:
        await link(connection, PROVIDER, external, user_id)
    return user_id


async def _signed_in(connection: Connection, user_id: UUID) -> None:
    alive = await connection.fetchval(
        "UPDATE users SET last_login_at = now() WHERE id = $1 AND deleted_at IS NULL"
        " RETURNING true",
        user_id,
    )
    if alive:
        await emit(connection, "user.logged_in", user_id, {"provider": PROVIDER}, "auth")
