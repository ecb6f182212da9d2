"""What auth does when others tell that something happened (contract, 4)."""

from __future__ import annotations

from monolith.auth.mail import Mail, MailRoom
from monolith.context import Context
from monolith.database import Connection
from monolith.domain import Event

TEXTS = {
    "subscription.created": ("Welcome aboard", "Your subscription has started."),
    "subscription.upgraded": ("Your plan was upgraded", "Your new plan is active now."),
    "subscription.cancelled": ("Your subscription has ended", "You can come back at any time."),
    "payment.failed": ("A payment failed", "Please check your payment method."),
}


async def mail_user(context: Context, connection: Connection, event: Event) -> None:
    """Confirmation mail for what happened to a subscription or a payment."""
    email = await connection.fetchval(
        "SELECT email FROM users WHERE id = $1 AND deleted_at IS NULL", event.user_id
    )
    if email is not None:
        await context.part(MailRoom).mailer.send(Mail(email, *TEXTS[event.type]))


async def forget_avatar(_context: Context, connection: Connection, event: Event) -> None:
    """media.deleted: nobody's avatar any more."""
    await connection.execute(
        "UPDATE user_profiles SET avatar_media_id = NULL WHERE avatar_media_id = $1::uuid",
        event.data["media_id"],
    )


HANDLERS = {**dict.fromkeys(TEXTS, mail_user), "media.deleted": forget_avatar}
