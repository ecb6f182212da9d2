"""`python -m services.payments.reconcile [--days N]`: ask the providers, repair the tables, report.

Stripe is asked with STRIPE_SECRET_KEY, the app stores with REVENUECAT_API_KEY where there is one.

Exit codes: 0 everything agrees now, 1 somebody must look, 2 it could not run.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from services.payments.effects import webhook_effects
from services.payments.reconciliation import (
    EVENT_DAYS,
    NOTHING,
    Findings,
    StoreReconciliation,
    StripeReconciliation,
)
from services.payments.settings import PaymentsWorkerSettings
from services.payments.store_books import open_stores
from services.payments.stripe_provider import open_stripe
from shared.errors import StranglerError
from shared.manifest import load_manifest
from shared.observability.logs import configure_logs
from shared.placement.service import open_service_database
from shared.settings import load_settings
from shared.webhooks import WebhookProcessor

NAME = "payments"


async def reconcile(settings: PaymentsWorkerSettings, days: float) -> Findings:
    """One run on the databases and the provider of the settings. Raises StranglerError."""
    manifest = load_manifest(settings.manifest)
    async with (
        open_service_database(NAME, settings, manifest, kind="worker") as database,
        open_stripe(settings) as stripe,
        open_stores(settings) as stores,
    ):
        processor = WebhookProcessor(database, webhook_effects())
        found = await StripeReconciliation(database, stripe, processor).run(days)
        return found + (await StoreReconciliation(database, stores).run() if stores else NOTHING)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m services.payments.reconcile")
    parser.add_argument("--days", type=float, default=EVENT_DAYS, help="look for missed events")
    chosen = parser.parse_args(arguments)
    try:
        settings = load_settings(PaymentsWorkerSettings)
        configure_logs(settings.log_level, service="payments-reconcile")
        found = asyncio.run(reconcile(settings, chosen.days))
    except StranglerError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    sys.stdout.write(
        f"{found.subscriptions} subscriptions compared, {found.repaired} repaired,"
        f" {found.missed_events} missed events applied\n"
    )
    for subscription_id, reason in found.problems:
        sys.stdout.write(f"{subscription_id}: {reason}\n")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
