"""What payments publishes (contract, 4), always in the transaction of the change; knows no consumer."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from shared.events import outbox
from shared.events.envelope import new_event
from shared.placement import Connection

SOURCE = "payments"


async def tell(
    connection: Connection, type_: str, user_id: UUID, data: Mapping[str, object]
) -> None:
    """One event about a user, if and when the transaction commits."""
    await outbox.add(connection, new_event(type_, source=SOURCE, subject=user_id, data=data))
