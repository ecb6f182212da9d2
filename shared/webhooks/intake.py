"""Receives a delivery: verify, store, commit, answer; the effect follows. Knows no web framework."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from shared.errors import CallerError, Code
from shared.placement.connection import Connection
from shared.placement.database import Database
from shared.webhooks import inbox
from shared.webhooks.errors import SignatureInvalidError
from shared.webhooks.inbox import WebhookSide
from shared.webhooks.processor import Kicker
from shared.webhooks.providers import Delivery, WebhookReader

log = structlog.get_logger(__name__)

#: Largest body that is taken (public contract, 1.13).
MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to the sender."""

    duplicate: bool
    delivery: Delivery

    def body(self) -> dict[str, bool]:
        """`{"received": true, "duplicate": …}` (public contract, 1.13)."""
        return {"received": True, "duplicate": self.duplicate}


class WebhookIntake:
    """What a webhook endpoint calls. Only a failure to store raises something that is a 5xx."""

    def __init__(
        self,
        database: Database,
        readers: Mapping[str, WebhookReader],
        *,
        side: WebhookSide = "service",
        kicker: Kicker | None = None,
    ) -> None:
        self._database = database
        self._readers = dict(readers)
        self._side: WebhookSide = side
        self._kicker = kicker

    def verify(self, provider: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        """A verified delivery that is not stored: for hooks that ask a question.

        `headers` may have names of any case. Raises CallerError 400 or 413.
        """
        if len(body) > MAX_BODY_BYTES:
            raise CallerError(
                Code.PAYLOAD_TOO_LARGE,
                "The body is too large",
                details={"limit_bytes": MAX_BODY_BYTES},
            )
        lower = {name.lower(): value for name, value in headers.items()}
        try:
            return self._readers[provider].read(lower, body, time.time())
        except SignatureInvalidError as error:
            log.warning("webhook_refused", provider=provider, reason=error.reason)
            raise

    async def receive(self, provider: str, headers: Mapping[str, str], body: bytes) -> Receipt:
        """Verify and store a delivery and begin to apply it. Raises CallerError, PlacementError."""
        return await self.keep(self.verify(provider, headers, body), headers)

    async def keep(self, delivery: Delivery, headers: Mapping[str, str]) -> Receipt:
        """Store a delivery that was verified and begin to apply it."""
        lower = {name.lower(): value for name, value in headers.items()}

        async def work(connection: Connection) -> bool:
            return await inbox.store(connection, delivery, lower, self._side)

        is_new = await self._database.transaction(work)
        if is_new and self._kicker is not None:
            self._kicker.kick(delivery.provider, delivery.event_id)
        log.info(
            "webhook_received",
            provider=delivery.provider,
            type=delivery.event_type,
            event_id=delivery.event_id,
            duplicate=not is_new,
            secret_index=delivery.secret_index,
        )
        return Receipt(not is_new, delivery)
