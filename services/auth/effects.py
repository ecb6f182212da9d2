"""Which effect applies the deliveries of which sender."""

from __future__ import annotations

from collections.abc import Mapping

from services.auth.clerk_effects import apply_clerk
from services.auth.supabase_effects import apply_supabase
from shared.webhooks import deferring
from shared.webhooks.processor import ANY, Handler


def webhook_effects() -> Mapping[str, Mapping[str, Handler]]:
    """By sender and type; each runs in the transaction that ends the delivery."""
    return {
        "supabase": {ANY: deferring(apply_supabase)},
        "clerk": {ANY: deferring(apply_clerk)},
    }
