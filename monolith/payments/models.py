"""JSON of the payments routes (contract, 2.0 and 2.3)."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from monolith.values import Integer, Timestamp, TimestampIn, Trimmed, Wire

QUOTA_TYPES = (
    "chat",
    "premium_model",
    "image_generation",
    "image_recognition",
    "video",
    "story",
)
Status = Literal["none", "active", "trialing", "past_due", "unpaid", "paused", "cancelled"]
ProviderName = Literal["stripe", "revenuecat"]
Address = Annotated[Trimmed, Field(min_length=1, max_length=2000)]
CodeText = Annotated[Trimmed, Field(min_length=1, max_length=100)]


class QuotaLimits(Wire):
    chat: int
    premium_model: int
    image_generation: int
    image_recognition: int
    video: int
    story: int


class Plan(Wire):
    tier: int
    name: Literal["free", "pro", "max"]
    price_id: str | None
    amount: int
    currency: str
    interval: Literal["month", "year"] | None
    context_tokens: int
    quotas: QuotaLimits


class Plans(Wire):
    plans: list[Plan]


class Subscription(Wire):
    id: UUID | None
    tier: int
    status: Status
    provider: ProviderName | None
    price_id: str | None
    current_period_end: Timestamp | None
    cancel_at_period_end: bool
    pending_tier: int | None
    resumes_at: Timestamp | None
    updated_at: Timestamp | None


class Quota(Wire):
    limit: int
    used: int
    held: int
    bonus: int
    remaining: int
    unlimited: bool
    period: Literal["day", "month"]
    resets_at: Timestamp


class QuotaMap(Wire):
    chat: Quota
    premium_model: Quota
    image_generation: Quota
    image_recognition: Quota
    video: Quota
    story: Quota


class Quotas(Wire):
    tier: int
    quota: int
    quota_premium_model: int
    quota_image_generation: int
    quota_image_recognition: int
    quota_video: int
    quota_story: int
    tokens_used: int
    premium_tokens_used: int
    last_reset: Timestamp
    quotas: QuotaMap


class CheckoutIn(Wire):
    price_id: Trimmed
    success_url: Address | None = None
    cancel_url: Address | None = None
    promo_code: CodeText | None = None


class CheckoutOut(Wire):
    checkout_url: str
    session_id: str
    expires_at: Timestamp


class UpgradeIn(Wire):
    tier: Annotated[Integer, Field(ge=1, le=2)]


class DowngradeIn(Wire):
    tier: Annotated[Integer, Field(ge=1, le=1)]


class CancelIn(Wire):
    at_period_end: bool | None = None


class PauseIn(Wire):
    resumes_at: TimestampIn | None = None


class PortalIn(Wire):
    return_url: Address | None = None


class PortalOut(Wire):
    url: str


class RedeemIn(Wire):
    code: CodeText


class RedeemOut(Wire):
    code: str
    kind: Literal["quota_bonus", "discount", "trial"]
    applied: bool
    quota_type: str | None
    amount: int | None
    percent_off: int | None
    trial_days: int | None
