"""Which actions a subscription's state allows and which event a change is; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from monolith.errors import ApiError

# State -> allowed actions, in the order of contract, 2.3; `ending` = cancel_at_period_end is set.
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
LIVE = frozenset({"active", "trialing", "past_due"})  # states that count for the effective tier


@dataclass(frozen=True, slots=True)
class Held:
    """A stored subscription."""

    id: UUID
    user_id: UUID
    provider: str
    provider_subscription_id: str
    price_id: str
    tier: int
    status: str
    pending_tier: int | None
    current_period_end: datetime | None
    resumes_at: datetime | None
    cancel_at_period_end: bool
    version: int
    provider_updated_at: datetime | None
    updated_at: datetime

    @property
    def is_open(self) -> bool:
        return self.status != "cancelled"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a provider says that a subscription is now."""

    price_id: str
    tier: int
    status: str
    current_period_end: datetime | None
    resumes_at: datetime | None
    cancel_at_period_end: bool
    pending_tier: int | None = None


def held_of(row: Mapping[str, Any]) -> Held:
    return Held(**{name: row[name] for name in Held.__slots__})


def wanted_of(held: Held, **changes: Any) -> Wanted:
    """The present state with some fields changed."""
    present = {name: getattr(held, name) for name in Wanted.__slots__}
    return Wanted(**{**present, **changes})


def allowed_actions(held: Held | None) -> tuple[str, ...]:
    if held is None:
        return ALLOWED["none"]
    if held.is_open and held.provider != "stripe":
        return ()
    if held.status in {"active", "trialing"} and held.cancel_at_period_end:
        return ALLOWED["ending"]
    return ALLOWED[held.status]


def state_conflict(held: Held | None, effective_tier: int) -> ApiError:
    """SUBSCRIPTION_STATE with everything a client needs to offer the right buttons."""
    managed = held.provider if held is not None and held.is_open else None
    details = {
        "status": held.status if held else "none",
        "tier": effective_tier,
        "managed_by": managed,
        "allowed": list(allowed_actions(held)),
    }
    return ApiError("SUBSCRIPTION_STATE", "The subscription does not allow this now", details)


def require_allowed(held: Held | None, action: str, effective_tier: int) -> None:
    if action not in allowed_actions(held):
        raise state_conflict(held, effective_tier)


def event_of(old: Held | None, new: Wanted) -> str | None:
    """The event that a change is, the first that fits (contract, 4); None if none does."""
    if old is None:
        return "subscription.created"
    if new.status == "cancelled" and old.status != "cancelled":
        return "subscription.cancelled"
    if new.status == "paused" and old.status != "paused":
        return "subscription.paused"
    if old.status == "paused" and new.status != "paused":
        return "subscription.resumed"
    if new.tier != old.tier:
        return "subscription.upgraded" if new.tier > old.tier else "subscription.downgraded"
    return "subscription.renewed" if _moves_on(old, new) else None


def _moves_on(old: Held, new: Wanted) -> bool:
    before, after = old.current_period_end, new.current_period_end
    return after is not None and (before is None or after > before)


def is_stale(held: Held, told_at: datetime, status: str) -> bool:
    """State older than what is stored is ignored; nothing of the same second revives the ended."""
    known = held.provider_updated_at
    if known is None:
        return False
    revives = held.status == "cancelled" and status != "cancelled"
    return told_at < known or (told_at == known and revives)
