"""JSON of the auth routes (api.md 2.0 and 2.1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from monolith.values import Timestamp, Trimmed, Wire, storable

Onboarding = Literal["pending", "in_progress", "complete"]


def _address(value: str) -> str:
    local, at, host = value.partition("@")
    if not (at and local and host) or "@" in host or any(c.isspace() for c in value):
        raise ValueError("must be an e-mail address with one @")
    return value


Email = Annotated[Trimmed, Field(max_length=320), AfterValidator(_address)]
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
