"""What payments does when others tell that something happened (contract, 4)."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from monolith.context import Context
from monolith.database import Connection
from monolith.domain import Event
from monolith.payments.rules import held_of, wanted_of
from monolith.payments.subscriptions import change
from monolith.payments.till import Till
from monolith.quotas import settle

REFERRAL_BONUS = 5


async def _grant(
    connection: Connection, user_id: UUID | str, amount: int, source: str, source_id: str
) -> None:
    """A chat bonus, once per source, for accounts that are still there."""
    alive = await connection.fetchval(
        "SELECT deleted_at IS NULL FROM users WHERE id = $1::uuid", user_id
    )
    if alive:
        await connection.execute(
            "SELECT quota_grant($1::uuid, 'chat', $2, $3, $4)", user_id, amount, source, source_id
        )


async def grant_referral(_context: Context, connection: Connection, event: Event) -> None:
    referee = event.data["referee_id"]
    for user_id in sorted((event.data["referrer_id"], referee)):
        await _grant(connection, user_id, REFERRAL_BONUS, "referral", referee)


async def grant_streak(_context: Context, connection: Connection, event: Event) -> None:
    if event.user_id is not None:
        source_id = f"{event.data['day']}:{event.data['check_in_day']}"
        await _grant(connection, event.user_id, event.data["bonus"], "streak", source_id)


async def settle_reservation(_context: Context, connection: Connection, event: Event) -> None:
    """A crash between result and charge is repaired here; repeating is harmless."""
    reservation = event.data.get("reservation_id")
    if reservation is not None:
        await settle(connection, UUID(reservation), int(event.data.get("tokens") or 0))


async def rename_customer(context: Context, connection: Connection, event: Event) -> None:
    """user.updated: the provider's customer gets the new address."""
    if "email" not in event.data["changed"]:
        return
    row = await connection.fetchrow(
        "SELECT b.customer_id, u.email FROM billing_customers b JOIN users u ON u.id = b.user_id"
        " WHERE b.provider = 'stripe' AND b.user_id = $1",
        event.user_id,
    )
    if row is not None and row["email"]:
        await context.part(Till).provider.rename(row["customer_id"], row["email"])


async def end_account(context: Context, connection: Connection, event: Event) -> None:
    """user.deleted: subscriptions end at the provider too, quotas go, transactions stay."""
    rows = await connection.fetch(
        "SELECT * FROM subscriptions WHERE user_id = $1 AND status <> 'cancelled' FOR UPDATE",
        event.user_id,
    )
    for held in [held_of(dict(row)) for row in rows]:
        if held.provider == "stripe":
            await context.part(Till).provider.cancel(
                held.provider_subscription_id, at_period_end=False
            )
        now = datetime.now(UTC).replace(microsecond=0)
        ended = wanted_of(held, status="cancelled", pending_tier=None)
        await change(connection, held, ended, now, event.request_id)
    for table in ("user_quotas", "quota_grants", "promo_redemptions"):
        await connection.execute(
            f"DELETE FROM {table} WHERE user_id = $1",  # noqa: S608 - constants above
            event.user_id,
        )


HANDLERS = {
    "referral.confirmed": grant_referral,
    "streak.milestone": grant_streak,
    "message.sent": settle_reservation,
    "media.created": settle_reservation,
    "story.created": settle_reservation,
    "user.updated": rename_customer,
    "user.deleted": end_account,
}
