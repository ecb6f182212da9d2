"""Who applies which webhooks. Owns the SQL on `strangler.webhook_owners`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.placement.connection import Connection
from shared.webhooks.inbox import WebhookSide

_GUARD = """
CREATE OR REPLACE TRIGGER strangler_webhook_owner BEFORE UPDATE ON webhook_inbox
FOR EACH ROW EXECUTE FUNCTION strangler.guard_webhook_owner()
"""
_HAS_GUARD = """
SELECT EXISTS (SELECT FROM pg_trigger
  WHERE tgrelid = 'webhook_inbox'::regclass AND tgname = 'strangler_webhook_owner')
"""


@dataclass(frozen=True, slots=True)
class Owner:
    """The side that applies a provider's deliveries of a type; `*` is every type without its own."""

    provider: str
    event_type: str
    owner: WebhookSide
    since: datetime


async def set_owner(
    connection: Connection, provider: str, event_type: str, owner: WebhookSide | None
) -> None:
    """Who applies a type (`*`: every type) from now on, stored deliveries too; None: no owner.

    Also puts the trigger on the inbox that refuses the effects of the other side, so that an app
    that knows nothing of owners keeps to them.
    """
    if owner is not None and not await connection.fetchval(_HAS_GUARD):
        await connection.execute(_GUARD)
    if owner is None:
        await connection.execute(
            "DELETE FROM strangler.webhook_owners WHERE provider = $1 AND event_type = $2",
            provider,
            event_type,
        )
        return
    await connection.execute(
        "INSERT INTO strangler.webhook_owners (provider, event_type, owner) VALUES ($1, $2, $3)"
        " ON CONFLICT (provider, event_type)"
        " DO UPDATE SET owner = excluded.owner, changed_at = clock_timestamp()",
        provider,
        event_type,
        owner,
    )


async def list_owners(connection: Connection) -> list[Owner]:
    """Every owner that is set."""
    rows = await connection.fetch(
        "SELECT provider, event_type, owner, changed_at FROM strangler.webhook_owners"
        " ORDER BY provider, event_type"
    )
    return [
        Owner(row["provider"], row["event_type"], row["owner"], row["changed_at"]) for row in rows
    ]
