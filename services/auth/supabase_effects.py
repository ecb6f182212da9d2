"""What Supabase's deliveries change here, whatever their order; its user ids are ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.auth import repository
from services.auth.account_changes import create_outside_user, erase_account, update_outside_user
from shared.placement import Connection
from shared.webhooks import DeferredError, Delivery, Effect, Verdict

PROVIDER = "supabase"
#: Type of an event or of a change of the row -> what it means.
MEANING = {
    "user.created": "created",
    "user.updated": "updated",
    "user.deleted": "deleted",
    "INSERT": "created",
    "UPDATE": "updated",
    "DELETE": "deleted",
}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class SupabasePerson:
    """What a delivery says about an account."""

    id: UUID
    email: str | None
    name: str | None
    provider: str
    deleted: bool


def uuid_of(value: object) -> UUID | None:
    return UUID(value) if isinstance(value, str) and _UUID.fullmatch(value) else None


def person_of(record: Mapping[str, Any]) -> SupabasePerson | None:
    """Reads `data` of an event or `record` of a database webhook."""
    identity = uuid_of(record.get("id"))
    if identity is None:
        return None
    user = _object(record.get("user_metadata") or record.get("raw_user_meta_data"))
    app = _object(record.get("app_metadata") or record.get("raw_app_meta_data"))
    name = user.get("name") or user.get("full_name")
    return SupabasePerson(
        identity,
        _text(record.get("email")),
        name if isinstance(name, str) else None,
        _text(app.get("provider")) or PROVIDER,
        bool(record.get("deleted_at")),
    )


async def apply_supabase(connection: Connection, delivery: Delivery) -> Effect:
    """One delivery. Raises DeferredError for the end of an account that is not known yet."""
    meaning = MEANING.get(delivery.event_type)
    body = delivery.payload
    record = body.get("data") or body.get("record") or body.get("old_record")
    person = person_of(_object(record))
    if meaning is None or person is None:
        return Effect(Verdict.IGNORED)
    gone = await repository.is_deleted(connection, person.id)
    if meaning == "deleted" or person.deleted:
        if gone is None:
            raise DeferredError("the user is not known yet")
        await erase_account(connection, person.id)
    elif gone is None:
        if person.email is None:
            return Effect(Verdict.IGNORED)
        await create_outside_user(connection, person.id, person.email, person.name, person.provider)
        await repository.link(connection, PROVIDER, str(person.id), person.id)
    elif not gone and meaning == "updated":
        await update_outside_user(connection, person.id, person.email, person.name)
    return Effect(user_id=person.id)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
