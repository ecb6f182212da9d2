"""Wire models of plans, subscriptions and quotas (public contract, 2.0 and 2.3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.contract.values import Id, Integer, RequestModel, Text, Timestamp, WireModel

QuotaType = Literal[
    "chat", "premium_model", "image_generation", "image_recognition", "video", "story"
]
SubscriptionStatus = Literal[
    "none", "active", "trialing", "past_due", "unpaid", "paused", "cancelled"
]
PaymentProvider = Literal["stripe", "revenuecat"]
PromoKind = Literal["quota_bonus", "discount", "trial"]

UNLIMITED = -1  # how "no limit" is written, only in public JSON (1.7)

Address = Annotated[str, Text(1, 2000)]
PromoCode = Annotated[str, Text(1, 100)]


class PlanQuotas(WireModel):
    """Limits of a plan; -1 is unlimited."""

    chat: int
    premium_model: int
    image_generation: int
    image_recognition: int
    video: int
    story: int


class Plan(WireModel):
    tier: int
    name: Literal["free", "pro", "max"]
    price_id: str | None
    amount: int
    currency: str
    interval: Literal["month", "year"] | None
    context_tokens: int
    quotas: PlanQuotas


class Plans(WireModel):
    plans: tuple[Plan, ...]


class Subscription(WireModel):
    id: Id | None
    tier: int
    status: SubscriptionStatus
    provider: PaymentProvider | None
    price_id: str | None
    current_period_end: Timestamp | None
    cancel_at_period_end: bool
    pending_tier: int | None
    resumes_at: Timestamp | None
    updated_at: Timestamp | None


class Quota(WireModel):
    """One allowance; `limit` and `remaining` are -1 when it is unlimited."""

    limit: int
    used: int
    held: int
    bonus: int
    remaining: int
    unlimited: bool
    period: Literal["day", "month"]
    resets_at: Timestamp


class QuotaTable(WireModel):
    chat: Quota
    premium_model: Quota
    image_generation: Quota
    image_recognition: Quota
    video: Quota
    story: Quota


class Quotas(WireModel):
    """All allowances; the flat figures are what old clients read."""

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
    quotas: QuotaTable


class Checkout(RequestModel):
    price_id: Annotated[str, Text(1, 200)]
    success_url: Address | None = None
    cancel_url: Address | None = None
    promo_code: PromoCode | None = None


class CheckoutSession(WireModel):
    checkout_url: str
    session_id: str
    expires_at: Timestamp


class Upgrade(RequestModel):
    tier: Annotated[Integer, Field(ge=1, le=2)]


class Downgrade(RequestModel):
    tier: Annotated[Integer, Field(ge=1, le=1)]


class Cancel(RequestModel):
    at_period_end: bool = True


class Pause(RequestModel):
    resumes_at: Timestamp | None = None


class BillingPortal(RequestModel):
    return_url: Address | None = None


class BillingPortalAddress(WireModel):
    url: str


class RedeemPromo(RequestModel):
    code: PromoCode


class PromoRedeemed(WireModel):
    code: str
    kind: PromoKind
    applied: bool
    quota_type: str | None
    amount: int | None
    percent_off: int | None
    trial_days: int | None
