"""Compares what Stripe knows with what is stored, and repairs the difference; for lost deliveries.

Events that were never received are stored as if they had come, so each still applies once; then every
subscription is brought to its present state, which an event older than Stripe's memory cannot tell.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from services.payments import repository
from services.payments.provider import PaymentBooks
from services.payments.stripe_effects import UnknownPriceError, bring_to, stripe_handlers
from services.payments.stripe_payload import UnknownStatusError, read_subscription
from shared.placement import Connection, Database
from shared.webhooks import DeferredError, Delivery, WebhookProcessor, inbox
from shared.webhooks.providers import moment

log = structlog.get_logger(__name__)

#: How far back deliveries are looked for: as long as Stripe itself tries one in live mode.
EVENT_DAYS = 3


@dataclass(frozen=True, slots=True)
class Findings:
    """What one run found. `problems` need a person: (subscription id, why)."""

    missed_events: int
    subscriptions: int
    repaired: int
    problems: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Run:
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


class Reconciliation:
    """May run in several processes at once, and while deliveries come in."""

    def __init__(
        self, database: Database, books: PaymentBooks, processor: WebhookProcessor
    ) -> None:
        self._database = database
        self._books = books
        self._processor = processor
        self._types = sorted(stripe_handlers())

    async def run(self, days: float = EVENT_DAYS) -> Findings:
        """Fetch missed events of the last days, then compare every subscription.

        Raises PeerError when Stripe does not answer; what was repaired until then stays.
        """
        run = _Run()
        since = datetime.now(UTC) - timedelta(days=days)
        async for event in self._books.events(since, self._types):
            await self._take(event, run)
        # Changes of this second may be newer than the pages that are read now: they win.
        asked_at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
        async for item in self._books.subscriptions():
            await self._compare(item, asked_at, run)
        await self._look_for_strangers(run)
        found = Findings(
            run.counts["missed"], run.counts["seen"], run.counts["repaired"], tuple(run.problems)
        )
        log.info(
            "payments_reconciled",
            missed_events=found.missed_events,
            subscriptions=found.subscriptions,
            repaired=found.repaired,
            problems=len(found.problems),
        )
        return found

    async def _take(self, event: Mapping[str, Any], run: _Run) -> None:
        """Store an event that was never received, and apply it."""
        if event.get("type") not in self._types:
            return
        delivery = Delivery(
            "stripe",
            str(event["id"]),
            str(event["type"]),
            moment(event.get("created")),
            json.dumps(event).encode(),
            event,
        )
        is_new = await self._database.transaction(
            lambda connection: inbox.store(connection, delivery, {}, "service")
        )
        if is_new:
            run.counts["missed"] += 1
            await self._processor.process(delivery.provider, delivery.event_id)

    async def _compare(self, item: Mapping[str, Any], asked_at: datetime, run: _Run) -> None:
        told_id = str(item.get("id"))
        run.seen.add(told_id)
        run.counts["seen"] += 1

        async def work(connection: Connection) -> bool:
            told = read_subscription(item)
            before = await repository.locked_of_stripe(connection, told.id)
            if before is None and told.status == "cancelled":
                return False  # ended before we ever heard of it: nobody lost anything
            await bring_to(connection, told, asked_at)
            after = await repository.locked_of_stripe(connection, told.id)
            return after is not None and (before is None or after.version != before.version)

        try:
            run.counts["repaired"] += await self._database.transaction(work)
        except (UnknownPriceError, UnknownStatusError) as error:
            run.problems.append((told_id, f"{error}: add the price to plan_prices"))
        except DeferredError:
            run.problems.append((told_id, "belongs to no user here"))

    async def _look_for_strangers(self, run: _Run) -> None:
        """Open here and not there: somebody has what nobody pays for."""
        held = await self._database.read(repository.open_ids_of_stripe)
        run.problems += [
            (subscription_id, "is open here, and Stripe does not know it")
            for subscription_id in held
            if subscription_id not in run.seen
        ]
