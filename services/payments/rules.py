"""Which actions a subscription's state allows, which event a change is, what is too old; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from services.payments.models import Held, State
from shared.errors import CallerError, subscription_state

#: State -> actions, in the contract's order (2.3). `ending`: open, with cancel_at_period_end set.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "none": ("checkout",),
    "cancelled": ("checkout",),
    "active": ("upgrade", "downgrade", "cancel", "pause", "portal"),
    "trialing": ("upgrade", "downgrade", "cancel", "pause", "portal"),
    "ending": ("upgrade", "downgrade", "cancel", "resume", "portal"),
    "paused": ("resume", "cancel", "portal"),
    "past_due": ("cancel", "portal"),
    "unpaid": ("cancel", "portal"),
}


def allowed_actions(held: Held | None) -> tuple[str, ...]:
    if held is None:
        return ALLOWED["none"]
    if held.is_open and held.provider != "stripe":
        return ()  # the store manages it
    status = held.state.status
    if status in ("active", "trialing") and held.state.cancel_at_period_end:
        status = "ending"
    return ALLOWED[status]


def state_conflict(held: Held | None, effective_tier: int) -> CallerError:
    """409 with everything a client needs to offer the right buttons."""
    managed_by = held.provider if held is not None and held.is_open else None
    status = held.state.status if held is not None else "none"
    return subscription_state(status, effective_tier, managed_by, allowed_actions(held))


def require_allowed(held: Held | None, action: str, effective_tier: int) -> None:
    if action not in allowed_actions(held):
        raise state_conflict(held, effective_tier)


def event_of(old: State | None, new: State) -> str | None:
    """The event that a change is, the first that fits (contract, 4); None: nobody is told."""
    if old is None:
        return "subscription.created"
    if old.status != "cancelled" and new.status == "cancelled":
        return "subscription.cancelled"
    if old.status != "paused" and new.status == "paused":
        return "subscription.paused"
    if old.status == "paused" and new.status != "paused":
        return "subscription.resumed"
    if new.tier != old.tier:
        return "subscription.upgraded" if new.tier > old.tier else "subscription.downgraded"
    return "subscription.renewed" if _moves_on(old, new) else None


def _moves_on(old: State, new: State) -> bool:
    before, after = old.current_period_end, new.current_period_end
    return after is not None and (before is None or after > before)


def is_stale(held: Held, told_at: datetime, status: str) -> bool:
    """State older than what is stored is ignored; nothing of the same second revives the ended."""
    known = held.provider_updated_at
    if known is None:
        return False
    revives = held.state.status == "cancelled" and status != "cancelled"
    return told_at < known or (told_at == known and revives)
