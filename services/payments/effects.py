"""Which effect applies the deliveries of which sender."""

from __future__ import annotations

from collections.abc import Mapping

from services.payments.revenuecat_effects import revenuecat_handlers
from services.payments.stripe_effects import stripe_handlers
from shared.webhooks import deferring
from shared.webhooks.processor import Handler


def webhook_effects() -> Mapping[str, Mapping[str, Handler]]:
    """By sender and type; each runs in the transaction that ends the delivery."""
    by_sender = {"stripe": stripe_handlers(), "revenuecat": revenuecat_handlers()}
    return {
        sender: {kind: deferring(handler) for kind, handler in handlers.items()}
        for sender, handlers in by_sender.items()
    }
