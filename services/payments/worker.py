"""`python -m services.payments.worker`: events of others, deliveries that wait, sweeps by the clock."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from services.payments.consumers import PaymentsEvents
from services.payments.effects import webhook_effects
from services.payments.reconciliation import StoreReconciliation, StripeReconciliation
from services.payments.settings import PaymentsWorkerSettings
from services.payments.store_books import open_stores
from services.payments.stripe_provider import StripePayments, open_provider
from shared.errors import OperatorError
from shared.events.periodic import Periodic
from shared.events.worker import WorkerContext, WorkerPlan, run_worker
from shared.quota import Quotas
from shared.web.maintenance_source import following_modes
from shared.webhooks import WebhookProcessor
from shared.webhooks.jobs import webhook_jobs

NAME = "payments"
SWEEP_SECONDS = 60.0  # contract, 5.3
#: One run asks Stripe for a page of 100 in about half a second: some 100,000 subscriptions.
RECONCILE_LIMIT_SECONDS = 900.0


@asynccontextmanager
async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    """The plan of this worker."""
    settings = context.settings
    if not isinstance(settings, PaymentsWorkerSettings):
        raise OperatorError("the payments worker runs with PaymentsWorkerSettings")
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(open_provider(settings))
        modes = await stack.enter_async_context(following_modes(context.database.shared))
        quotas = Quotas(context.database.shared)
        processor = WebhookProcessor(
            context.database, webhook_effects(), is_held=lambda: modes.mode_of(NAME).name != "off"
        )
        periodic = [
            *webhook_jobs(processor),
            Periodic("quota-sweep", SWEEP_SECONDS, quotas.sweep),
        ]
        stores = await stack.enter_async_context(open_stores(settings))
        runs: dict[str, Callable[[], Awaitable[object]]] = {}
        if isinstance(provider, StripePayments):
            runs["stripe"] = StripeReconciliation(context.database, provider, processor).run
        if stores is not None:
            runs["stores"] = StoreReconciliation(context.database, stores).run
        periodic += [
            Periodic(
                f"reconcile-{name}",
                settings.reconcile_minutes * 60,
                run,
                limit_seconds=RECONCILE_LIMIT_SECONDS,
            )
            for name, run in runs.items()
        ]
        yield WorkerPlan(handlers=PaymentsEvents(provider, quotas).handlers(), periodic=periodic)


if __name__ == "__main__":
    sys.exit(run_worker(NAME, build, PaymentsWorkerSettings))
