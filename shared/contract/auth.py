"""Wire models of accounts and sign-in (public contract, 2.0 and 2.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import to_json

from shared.contract.values import (
    ChangeModel,
    Id,
    Integer,
    RequestModel,
    Text,
    Timestamp,
    WireModel,
    check_json,
)

OnboardingStatus = Literal["pending", "in_progress", "complete"]
OauthProvider = Literal["google", "apple", "facebook"]

PREFERENCES_LIMIT_BYTES = 8 * 1024
FIRST_BIRTH_YEAR = 1900


def _address(value: str) -> str:
    local, at, host = value.partition("@")
    if not (at and local and host) or "@" in host or any(c.isspace() for c in value):
        raise ValueError("must be an e-mail address with one @")
    return value


def _past_year(value: int) -> int:
    if not FIRST_BIRTH_YEAR <= value <= datetime.now(UTC).year:
        raise ValueError(f"must be a year from {FIRST_BIRTH_YEAR} to this one")
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    check_json(value)
    if len(to_json(value)) > PREFERENCES_LIMIT_BYTES:
        raise ValueError(f"must have at most {PREFERENCES_LIMIT_BYTES} bytes of JSON")
    return value


Email = Annotated[str, Text(3, 320), AfterValidator(_address)]
Password = Annotated[str, Text(8, 128, trimmed=False)]
Name = Annotated[str, Text(0, 80)]
ReferralCode = Annotated[str, Text(1, 32)]
RefreshToken = Annotated[str, Text(1, 512)]


class User(WireModel):
    """An account as its owner sees it. `premium` is the old name of `tier`."""

    id: Id
    email: str
    name: str | None
    avatar_url: str | None
    phone: str | None
    country: str | None
    language: str
    birth_year: int | None
    tier: int
    premium: int
    confirmed: bool
    referral_code: str
    onboarding_status: OnboardingStatus
    preferences: dict[str, Any]
    last_login_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class Session(WireModel):
    """What every successful sign-in answers."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of the scheme
    expires_in: int = 3600
    expires_at: int  # unix seconds
    user: User


class Author(WireModel):
    """Who made something; a deleted user is `DELETED_AUTHOR`."""

    user_id: Id | None
    name: str | None
    avatar_url: str | None


DELETED_AUTHOR = Author(user_id=None, name="Deleted user", avatar_url=None)


class CreateAccount(RequestModel):
    email: Email
    password: Password | None = None
    name: Name | None = None
    referral_code: ReferralCode | None = None


class AccountCreated(WireModel):
    user_id: Id
    email: str
    status: Literal["otp_sent"] = "otp_sent"
    otp_expires_at: Timestamp


class VerifyOtp(RequestModel):
    email: Email
    code: Annotated[str, Text(6, 6, pattern=r"^[0-9]{6}$")]


class Login(RequestModel):
    email: Email
    password: Annotated[str, Text(0, 1024, trimmed=False)] | None = None


class OtpSent(WireModel):
    """202 of a login without a password; the same for unknown addresses."""

    status: Literal["otp_sent"] = "otp_sent"
    otp_expires_at: Timestamp


class Oauth(RequestModel):
    id_token: Annotated[str, Text(1, 8192)]
    nonce: Annotated[str, Text(0, 1024)] | None = None


class OauthSession(Session):
    created: bool


class Refresh(RequestModel):
    refresh_token: RefreshToken


class Logout(RequestModel):
    refresh_token: RefreshToken | None = None


class Synced(WireModel):
    user: User
    created: bool


class UpdateDetails(ChangeModel):
    """A left-out field stays as it is; null clears name, avatar, phone, country and birth year."""

    name: Name | None = None
    avatar_media_id: Id | None = None
    phone: Annotated[str, Text(0, 32)] | None = None
    country: (
        Annotated[str, Text(2, 2, pattern=r"^[A-Za-z]{2}$"), AfterValidator(str.upper)] | None
    ) = None
    language: Annotated[str, Text(2, 10)] = "en"
    birth_year: Annotated[Integer, AfterValidator(_past_year)] | None = None
    preferences: Annotated[dict[str, Any], AfterValidator(_small)] = Field(default_factory=dict)
    onboarding_status: OnboardingStatus = "pending"
    password: Password = ""


class Referral(WireModel):
    referral_code: str
    referral_link: str
    referred_count: int
    confirmed_count: int
    bonus_earned: int


class ApplyReferral(RequestModel):
    code: ReferralCode


class ReferralApplied(WireModel):
    status: Literal["applied"] = "applied"
    bonus: int


class WebhookReceived(WireModel):
    """The answer to every delivery of a provider (1.13)."""

    received: Literal[True] = True
    duplicate: bool
