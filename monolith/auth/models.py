"""JSON of the auth routes (contract, 2.0 and 2.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from monolith.values import (
    Identifier,
    Integer,
    JsonObject,
    Timestamp,
    Trimmed,
    Wire,
    json_bytes,
    storable,
)

PREFERENCES_BYTES_MAX = 8 * 1024
Onboarding = Literal["pending", "in_progress", "complete"]


def _address(value: str) -> str:
    local, at, host = value.partition("@")
    if not (at and local and host) or "@" in host or any(c.isspace() for c in value):
        raise ValueError("must be an e-mail address with one @")
    return value


Email = Annotated[Trimmed, Field(min_length=3, max_length=320), AfterValidator(_address)]
Password = Annotated[str, Field(min_length=8, max_length=128), AfterValidator(storable)]
Code = Annotated[Trimmed, Field(pattern=r"^[0-9]{6}$")]
ReferralCode = Annotated[Trimmed, Field(min_length=1, max_length=32)]


class User(Wire):
    id: UUID
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
    onboarding_status: Onboarding
    preferences: dict[str, Any]
    last_login_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class Session(Wire):
    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of the scheme
    expires_in: int
    expires_at: int
    user: User


class CreateAccountIn(Wire):
    email: Email
    password: Password | None = None
    name: Annotated[Trimmed, Field(max_length=80)] | None = None
    referral_code: ReferralCode | None = None


class CreateAccountOut(Wire):
    user_id: UUID
    email: str
    status: Literal["otp_sent"] = "otp_sent"
    otp_expires_at: Timestamp


class VerifyOtpIn(Wire):
    email: Email
    code: Code


class LoginIn(Wire):
    email: Email
    password: Annotated[str, Field(max_length=1024), AfterValidator(storable)] | None = None


class CodeSent(Wire):
    status: Literal["otp_sent"] = "otp_sent"
    otp_expires_at: Timestamp


class RefreshIn(Wire):
    refresh_token: Annotated[Trimmed, Field(min_length=1, max_length=512)]


class LogoutIn(Wire):
    refresh_token: Annotated[Trimmed, Field(min_length=1, max_length=512)] | None = None


class OauthIn(Wire):
    id_token: Annotated[Trimmed, Field(min_length=1, max_length=8192)]
    nonce: Annotated[Trimmed, Field(max_length=1024)] | None = None


class OauthSession(Session):
    created: bool


class SyncOut(Wire):
    user: User
    created: bool


def _this_year_at_most(value: int) -> int:
    if value > datetime.now(UTC).year:
        raise ValueError("must not lie in the future")
    return value


def _small_object(value: dict[str, Any]) -> dict[str, Any]:
    if json_bytes(value) > PREFERENCES_BYTES_MAX:
        raise ValueError(f"must be at most {PREFERENCES_BYTES_MAX} bytes of JSON")
    return value


class DetailsIn(Wire):
    """Omitted = unchanged, so what was sent is told apart by model_fields_set."""

    name: Annotated[Trimmed, Field(max_length=80)] | None = None
    avatar_media_id: Identifier | None = None
    phone: Annotated[Trimmed, Field(max_length=32)] | None = None
    country: (
        Annotated[Trimmed, Field(pattern=r"^[A-Za-z]{2}$"), AfterValidator(str.upper)] | None
    ) = None
    language: Annotated[Trimmed, Field(min_length=2, max_length=10)] = "en"
    birth_year: Annotated[Integer, Field(ge=1900), AfterValidator(_this_year_at_most)] | None = None
    preferences: Annotated[JsonObject, AfterValidator(_small_object)] = Field(default_factory=dict)
    onboarding_status: Onboarding = "pending"
    password: Password = ""


class ReferralOut(Wire):
    referral_code: str
    referral_link: str
    referred_count: int
    confirmed_count: int
    bonus_earned: int


class ReferralApplyIn(Wire):
    code: ReferralCode


class ReferralApplyOut(Wire):
    status: Literal["applied"] = "applied"
    bonus: int
