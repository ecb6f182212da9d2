"""Runs the effects of stored deliveries: at once in the web process, again from the worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from monolith.context import Context
from monolith.database import FAILURES, Connection
from monolith.webhooks import inbox
from monolith.webhooks.inbox import DeferredError, Delivery, Outcome

log = logging.getLogger("monolith.webhooks")
EFFECT_SECONDS = 8.0
CLOSE_SECONDS = 5.0
WAITING_ROWS = 20
BATCH_ROWS = 100
Effect = Callable[[Context, Connection, Delivery], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class ProviderEffect:
    """The effect of one provider's deliveries and the domain whose maintenance holds it back."""

    domain: str
    apply: Effect


class WebhookDesk:
    """One per process."""

    def __init__(self, effects: Mapping[str, ProviderEffect]) -> None:
        self._effects = dict(effects)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()

    def kick(self, context: Context, provider: str, event_id: str) -> None:
        """Apply a delivery soon, without holding up the answer to its sender."""
        task = asyncio.create_task(self._apply_logged(context, provider, event_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _apply_logged(self, context: Context, provider: str, event_id: str) -> None:
        try:
            await self.apply(context, provider, event_id)
        except FAILURES as error:
            log.warning("effect left to the worker: %s", type(error).__name__)

    async def apply_due(self, context: Context) -> None:
        """Everything that is due, oldest first; the worker calls this every second."""
        keys = await inbox.due_keys(context.database, list(self._effects), BATCH_ROWS)
        for provider, event_id in keys:
            await self.apply(context, provider, event_id)

    async def apply(self, context: Context, provider: str, event_id: str) -> None:
        """Try a delivery; after success, also those that may have waited for it."""
        if await self._try(context, provider, event_id):
            for waiting in await inbox.waiting_keys(context.database, provider, WAITING_ROWS):
                await self._try(context, *waiting)

    async def _try(self, context: Context, provider: str, event_id: str) -> bool:
        effect = self._effects[provider]
        if await context.maintenance.refusal(effect.domain, "effect") is not None:
            return False  # stored and answered; the effect waits for the end of maintenance
        try:
            async with asyncio.timeout(EFFECT_SECONDS), context.database.transaction() as held:
                delivery = await inbox.claim(held, provider, event_id)
                if delivery is None:
                    return False
                outcome = await effect.apply(context, held, delivery)
                await inbox.finish(held, delivery, outcome)
        except DeferredError as error:
            await inbox.note_failure(context.database, provider, event_id, "deferred", error)
            return False
        except Exception as error:
            log.exception("webhook effect failed", extra={"event": f"{provider}:{event_id}"})
            await inbox.note_failure(context.database, provider, event_id, "failed", error)
            return False
        return outcome == "processed"


ALARM = """SELECT count(*) FROM webhook_inbox WHERE status IN ('deferred', 'failed')
  AND received_at <= now() - interval '3 days' AND received_at > now() - interval '4 days'"""


async def alarm_given_up(context: Context) -> None:
    """Name deliveries that were tried for three days in vain."""
    count = await context.database.value(ALARM)
    if count:
        log.error("%s webhook deliveries were given up; look at webhook_inbox", count)
