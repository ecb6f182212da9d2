"""What Supabase's deliveries change here; its user ids are ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from monolith.auth.account_changes import (
    create_outside_user,
    erase_account,
    is_deleted,
    update_outside_user,
)
from monolith.auth.oauth import link
from monolith.context import Context
from monolith.database import Connection
from monolith.values import UUID_TEXT
from monolith.webhooks.inbox import DeferredError, Delivery, Outcome, note_user

PROVIDER = "supabase"
# Type of a delivery or of a database webhook -> what it means.
MEANING = {
    "user.created": "created",
    "user.updated": "updated",
    "user.deleted": "deleted",
    "INSERT": "created",
    "UPDATE": "updated",
    "DELETE": "deleted",
}


@dataclass(frozen=True, slots=True)
class Person:
    """What a delivery says about an account."""

    id: UUID
    email: str | None
    name: str | None
    provider: str
    deleted: bool


def person_of(record: Mapping[str, Any]) -> Person | None:
    """Reads `data` of an event or `record` of a database webhook."""
    identity = record.get("id")
    if not isinstance(identity, str) or UUID_TEXT.fullmatch(identity) is None:
        return None
    user = record.get("user_metadata") or record.get("raw_user_meta_data") or {}
    app = record.get("app_metadata") or record.get("raw_app_meta_data") or {}
    email, name = record.get("email"), user.get("name") or user.get("full_name")
    provider = app.get("provider")
    return Person(
        UUID(identity),
        email if isinstance(email, str) and email else None,
        name if isinstance(name, str) else None,
        provider if isinstance(provider, str) else PROVIDER,
        bool(record.get("deleted_at")),
    )


async def apply_supabase(_context: Context, connection: Connection, delivery: Delivery) -> Outcome:
    meaning = MEANING.get(delivery.event_type)
    body = delivery.body
    record = body.get("data") or body.get("record") or body.get("old_record") or {}
    person = person_of(record) if isinstance(record, dict) else None
    if meaning is None or person is None:
        return "ignored"
    gone = await is_deleted(connection, person.id)
    if meaning == "deleted" or person.deleted:
        if gone is None:
            raise DeferredError("the user is not known yet")
        await erase_account(connection, person.id, None)
    elif gone is None:
        if person.email is None:
            return "ignored"
        await create_outside_user(
            connection, person.id, person.email, person.name, person.provider, None
        )
        await link(connection, PROVIDER, str(person.id), person.id)
    elif not gone and meaning == "updated":
        await update_outside_user(connection, person.id, person.email, person.name, None)
    await note_user(connection, delivery, person.id)
    return "processed"
