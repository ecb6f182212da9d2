"""What Clerk's deliveries change here, whatever their order; its ids map to ours by auth_identities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.auth import repository
from services.auth.account_changes import create_outside_user, erase_account, update_outside_user
from services.auth.news import tell
from shared.placement import Connection
from shared.webhooks import DeferredError, Delivery, Effect, Verdict

PROVIDER = "clerk"
HANDLED = frozenset({"user.created", "user.updated", "user.deleted", "session.created"})
#: The identity row goes with the account, so the inbox itself remembers who was deleted; a deletion
#: that came before the account has done its work.
_DELETED_BEFORE = """
UPDATE webhook_inbox SET status = 'processed', processed_at = COALESCE(processed_at, now())
WHERE provider = 'clerk' AND event_type = 'user.deleted'
  AND convert_from(raw, 'UTF8')::jsonb #>> '{data,id}' = $1 RETURNING event_id"""


async def apply_clerk(connection: Connection, delivery: Delivery) -> Effect:
    """One delivery. Raises DeferredError while its user is not known."""
    data = delivery.payload.get("data")
    kind = delivery.event_type
    if not isinstance(data, Mapping) or kind not in HANDLED:
        return Effect(Verdict.IGNORED)
    external = data.get("user_id" if kind == "session.created" else "id")
    if not isinstance(external, str) or not external:
        return Effect(Verdict.IGNORED)
    user_id = await repository.find_identity(connection, PROVIDER, external)
    if kind in {"user.created", "user.updated"}:
        user_id = await _upsert(connection, external, user_id, data, kind)
    elif user_id is None:
        raise DeferredError("the user is not known yet")
    elif kind == "user.deleted":
        await erase_account(connection, user_id)
    elif await repository.note_sign_in(connection, user_id):
        await tell(connection, "user.logged_in", user_id, {"provider": PROVIDER})
    return Effect(user_id=user_id)


def email_of(data: Mapping[str, Any]) -> str | None:
    """The primary address, else the first one."""
    addresses = [one for one in data.get("email_addresses") or () if isinstance(one, Mapping)]
    primary = [one for one in addresses if one.get("id") == data.get("primary_email_address_id")]
    for address in (*primary, *addresses):
        if isinstance(address.get("email_address"), str):
            return str(address["email_address"])
    return None


def name_of(data: Mapping[str, Any]) -> str | None:
    parts = [data.get("first_name"), data.get("last_name")]
    return " ".join(part for part in parts if isinstance(part, str) and part) or None


async def _upsert(
    connection: Connection,
    external: str,
    user_id: UUID | None,
    data: Mapping[str, Any],
    kind: str,
) -> UUID | None:
    email, name = email_of(data), name_of(data)
    if user_id is not None:
        # A late `created` carries the oldest state: it changes nothing that is known.
        if kind == "user.updated" and not await repository.is_deleted(connection, user_id):
            await update_outside_user(connection, user_id, email, name)
        return user_id
    if email is None or await connection.fetchval(_DELETED_BEFORE, external) is not None:
        return None
    owner = await repository.find_by_email(connection, email)
    if owner is not None and not owner.confirmed:
        raise DeferredError("somebody is signing up with this address")
    if owner is not None:
        user_id = owner.id
    else:
        user_id = await create_outside_user(connection, None, email, name, PROVIDER)
    if user_id is not None:
        await repository.link(connection, PROVIDER, external, user_id)
    return user_id
