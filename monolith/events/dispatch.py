"""Gives an event to every domain that wants it, each in a transaction with its inbox row."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from monolith.context import Context
from monolith.database import is_absent, is_fenced
from monolith.domain import Domain, Event, EventHandler

log = logging.getLogger("monolith.events")


class Dispatcher:
    """Counts what it did, for logs and tests."""

    def __init__(self, context: Context, domains: Sequence[Domain]) -> None:
        self._context = context
        self._domains = tuple(domains)
        self.counts: Counter[str] = Counter()

    def types(self) -> list[str]:
        """Every event type that some domain handles."""
        return sorted({name for domain in self._domains for name in domain.handlers})

    async def apply(self, event: Event) -> None:
        """All effects of an event; raises the first failure after every domain had its turn."""
        wanted = [
            (d.name, d.handlers[event.type]) for d in self._domains if event.type in d.handlers
        ]
        if not wanted:
            self.counts["unknown"] += 1
            return
        failure: Exception | None = None
        for name, handler in wanted:
            try:
                await self._apply(name, handler, event)
            except Exception as error:
                if is_fenced(error) or is_absent(error):
                    # The domain's tables live in another database now, and its own worker,
                    # which has its own queue, has the event as well.
                    self.counts["moved"] += 1
                    continue
                self.counts["failed"] += 1
                log.warning(
                    "%s failed: %s", event.type, type(error).__name__, extra={"domain": name}
                )
                failure = failure or error
        if failure is not None:
            raise failure

    async def _apply(self, domain: str, handler: EventHandler, event: Event) -> None:
        async with self._context.database.transaction() as connection:
            new = await connection.fetchval(
                "INSERT INTO inbox (consumer, event_id, type) VALUES ($1, $2, $3)"
                " ON CONFLICT DO NOTHING RETURNING true",
                domain,
                event.id,
                event.type,
            )
            if not new:
                self.counts["duplicate"] += 1
                return
            await handler(self._context, connection, event)
        self.counts["handled"] += 1
