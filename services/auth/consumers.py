"""What auth does about events of others (contract, 4)."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.auth import repository
from services.auth.mail import Mail, Mailer
from shared.events.consumer import Handler
from shared.events.envelope import Event
from shared.placement import Connection

#: Subject and text of the mail about an event.
TEXTS = {
    "subscription.created": ("Welcome aboard", "Your subscription has started."),
    "subscription.upgraded": ("Your plan was upgraded", "Your new plan is active now."),
    "subscription.cancelled": ("Your subscription has ended", "You can come back at any time."),
    "payment.failed": ("A payment failed", "Please check your payment method."),
}


class AuthEvents:
    """Handlers; each runs in the transaction of its inbox row."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer

    def handlers(self) -> Mapping[str, Handler]:
        """By event type, as the manifest subscribes."""
        return {**dict.fromkeys(TEXTS, self.mail_user), "media.deleted": self.forget_avatar}

    async def mail_user(self, connection: Connection, event: Event) -> None:
        """Tell a living account what happened to its subscription or payment."""
        if event.subject is None:
            return
        address = await repository.address_of(connection, UUID(event.subject))
        if address is not None:
            await self._mailer.send(Mail(address, *TEXTS[event.type]))

    async def forget_avatar(self, connection: Connection, event: Event) -> None:
        await repository.forget_avatar(connection, UUID(event.data["media_id"]))
