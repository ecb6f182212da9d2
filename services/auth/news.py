"""What auth publishes (contract, 4), always in the transaction of the change; knows no consumer."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.auth.models import AccountFacts
from shared.events import outbox
from shared.events.envelope import new_event
from shared.placement import Connection

SOURCE = "auth"


async def tell(
    connection: Connection, type_: str, user_id: UUID, data: Mapping[str, object]
) -> None:
    """One event about a user, if and when the transaction commits."""
    await outbox.add(connection, new_event(type_, source=SOURCE, subject=user_id, data=data))


async def tell_created(
    connection: Connection,
    user_id: UUID,
    facts: AccountFacts,
    provider: str,
    referred_by: UUID | None = None,
) -> None:
    """An account exists and its address is proven."""
    data = {
        "email": facts.email,
        "name": facts.name,
        "provider": provider,
        "referral_code": facts.referral_code,
        "referred_by": referred_by,
    }
    await tell(connection, "user.created", user_id, data)
