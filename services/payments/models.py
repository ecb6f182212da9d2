"""Subscriptions as they are stored and as a provider tells them, and their wire objects; no SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import asyncpg

from shared.contract.payments import PlanQuotas, Quota, QuotaType, Subscription
from shared.quota import QuotaRow, shown

Row = asyncpg.Record | Mapping[str, Any]
QUOTA_TYPES: tuple[str, ...] = get_args(QuotaType)


@dataclass(frozen=True, slots=True)
class State:
    """What a provider says that a subscription is."""

    price_id: str
    tier: int
    status: str
    current_period_end: datetime | None
    resumes_at: datetime | None = None
    cancel_at_period_end: bool = False
    pending_tier: int | None = None

    def but(self, **changes: Any) -> State:
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Held:
    """A stored subscription."""

    id: UUID
    user_id: UUID
    provider: str
    provider_subscription_id: str
    state: State
    version: int
    provider_updated_at: datetime | None
    updated_at: datetime

    @property
    def is_open(self) -> bool:
        return self.state.status != "cancelled"


def held_of(row: Row) -> Held:
    return Held(
        row["id"],
        row["user_id"],
        row["provider"],
        row["provider_subscription_id"],
        State(
            row["price_id"],
            row["tier"],
            row["status"],
            row["current_period_end"],
            row["resumes_at"],
            row["cancel_at_period_end"],
            row["pending_tier"],
        ),
        row["version"],
        row["provider_updated_at"],
        row["updated_at"],
    )


def shown_subscription(held: Held | None, effective_tier: int) -> Subscription:
    """The wire object; its tier is the effective one."""
    if held is None:
        return Subscription(
            id=None,
            tier=effective_tier,
            status="none",
            provider=None,
            price_id=None,
            current_period_end=None,
            cancel_at_period_end=False,
            pending_tier=None,
            resumes_at=None,
            updated_at=None,
        )
    state = held.state
    return Subscription.model_validate(
        {
            "id": held.id,
            "tier": effective_tier,
            "status": state.status,
            "provider": held.provider,
            "price_id": state.price_id,
            "current_period_end": state.current_period_end,
            "cancel_at_period_end": state.cancel_at_period_end,
            "pending_tier": state.pending_tier,
            "resumes_at": state.resumes_at,
            "updated_at": held.updated_at,
        }
    )


def plan_quotas(limits: Mapping[str, int | None]) -> PlanQuotas:
    """Limits of a plan by type; None is unlimited, a type without a row has nothing."""
    return PlanQuotas.model_validate({name: shown(limits.get(name, 0)) for name in QUOTA_TYPES})


def shown_quota(row: QuotaRow) -> Quota:
    return Quota.model_validate(
        {
            "limit": shown(row.limit),
            "used": row.used,
            "held": row.held,
            "bonus": row.bonus,
            "remaining": shown(row.remaining),
            "unlimited": row.limit is None,
            "period": row.period,
            "resets_at": row.resets_at,
        }
    )
