"""Compares what the providers know with what is stored, and repairs it; for lost deliveries.

Events of Stripe that were never received are stored as if they had come, so each still applies once; then every
subscription is brought to its present state, which an event older than Stripe's memory cannot tell.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.payments import repository
from services.payments.entitlements import apply_state
from services.payments.models import State
from services.payments.provider import PaymentBooks
from services.payments.revenuecat_effects import PROVIDER as STORES
from services.payments.revenuecat_effects import UnknownProductError
from services.payments.store_books import StoreBooks, StoreSubscription, read_subscriber
from services.payments.stripe_effects import UnknownPriceError, bring_to, stripe_handlers
from services.payments.stripe_payload import UnknownStatusError, read_subscription
from shared.placement import Connection, Database
from shared.webhooks import DeferredError, Delivery, WebhookProcessor, inbox
from shared.webhooks.providers import moment

#: How far back deliveries are looked for: as long as Stripe itself tries one in live mode.
EVENT_DAYS = 3


@dataclass(frozen=True, slots=True)
class Findings:
    """What one run found. `problems` need a person: (subscription id, why)."""

    missed_events: int
    subscriptions: int
    repaired: int
    problems: tuple[tuple[str, str], ...]

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            self.missed_events + other.missed_events,
            self.subscriptions + other.subscriptions,
            self.repaired + other.repaired,
            self.problems + other.problems,
        )


NOTHING = Findings(0, 0, 0, ())


@dataclass(slots=True)
class _Run:
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def findings(self) -> Findings:
        counts = self.counts
        return Findings(counts["missed"], counts["seen"], counts["repaired"], tuple(self.problems))


class StripeReconciliation:
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
        asked_at = before_now()
        async for item in self._books.subscriptions():
            await self._compare(item, asked_at, run)
        await self._look_for_strangers(run)
        return run.findings()

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
            before = await repository.of_stripe(connection, told.id)
            if before is None and told.status == "cancelled":
                return False  # ended before we ever heard of it: nobody lost anything
            await bring_to(connection, told, asked_at)
            after = await repository.of_stripe(connection, told.id)
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


class StoreReconciliation:
    """Asks RevenueCat about everybody who has an open subscription of the app stores."""

    def __init__(self, database: Database, books: StoreBooks) -> None:
        self._database = database
        self._books = books

    async def run(self) -> Findings:
        """Raises PeerError when RevenueCat does not answer; what was repaired until then stays."""
        run = _Run()
        for user_id in await self._database.read(repository.users_of_stores):
            asked_at = before_now()
            told = read_subscriber(await self._books.subscriptions(user_id), datetime.now(UTC))
            run.counts["seen"] += 1
            if told is None:
                run.problems.append((str(user_id), "has nothing in the app stores, but open here"))
                continue
            try:
                run.counts["repaired"] += await self._bring_to(user_id, told, asked_at)
            except UnknownProductError as error:
                run.problems.append((str(user_id), f"{error}: add it to plan_prices"))
        return run.findings()

    async def _bring_to(self, user_id: UUID, told: StoreSubscription, asked_at: datetime) -> bool:
        async def work(connection: Connection) -> bool:
            await repository.lock_user(connection, user_id)
            held = await repository.locked_of_stores(connection, user_id)
            if held is None or not held.is_open:
                return False  # a delivery was quicker
            price = await repository.best_price(connection, STORES, [told.product_id])
            if price is None:
                raise UnknownProductError(f"product {told.product_id!r}")
            state = State(
                price[0],
                price[1],
                told.status,
                told.period_end,
                cancel_at_period_end=told.cancel_at_period_end,
            )
            now = await apply_state(
                connection, user_id, STORES, held.provider_subscription_id, held, state, asked_at
            )
            return now.version != held.version

        return await self._database.transaction(work)


def before_now() -> datetime:
    """When an answer that is read from now on is sure to be new; changes of this second win."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
