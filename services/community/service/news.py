"""Events that the community tells, and notices to people who are still there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.community.repository import notifications
from services.community.repository.accounts import Accounts
from services.community.repository.notifications import Notice
from shared.events import outbox
from shared.events.envelope import new_event
from shared.placement.connection import Connection

SOURCE = "community"


async def tell(connection: Connection, type_: str, user_id: UUID, data: Mapping[str, Any]) -> None:
    """Publish an event with the running transaction."""
    await outbox.add(connection, new_event(type_, source=SOURCE, subject=user_id, data=data))


async def notify(connection: Connection, accounts: Accounts, notice: Notice) -> None:
    """One notification per key, and none for people who left."""
    if await accounts.is_live(notice.user_id):
        await notifications.add(connection, notice)
