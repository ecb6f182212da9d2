"""Plans, subscriptions, promo codes, quotas; the only owner of money and quota tables."""

from __future__ import annotations

from collections.abc import Sequence

from monolith.context import Part
from monolith.domain import Domain, Schedule
from monolith.payments import actions, checkout, plans, promos, webhooks
from monolith.payments.handlers import HANDLERS
from monolith.payments.revenuecat_effects import apply_revenuecat
from monolith.payments.router import router
from monolith.payments.stripe_effects import apply_stripe
from monolith.payments.till import Till
from monolith.quotas import sweep
from monolith.settings import Settings

__all__ = ["DOMAIN", "actions", "checkout", "plans", "promos", "webhooks"]


def parts(settings: Settings) -> Sequence[Part]:
    return (Till(settings),)


DOMAIN = Domain(
    "payments",
    router,
    parts,
    HANDLERS,
    (Schedule("payments.quota_sweep", 60.0, sweep),),
    {"stripe": apply_stripe, "revenuecat": apply_revenuecat},
)
