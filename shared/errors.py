"""The root error, its three families by who must act, and the one table of HTTP statuses.

Knows no web framework: `shared.web` turns these errors into the answers of the public contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Code(StrEnum):
    """Every error code a client can see (public contract, section 1.6)."""

    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    AUTH_REQUIRED = "AUTH_REQUIRED"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - a code, not a secret
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 - a code, not a secret
    CREDENTIALS_INVALID = "CREDENTIALS_INVALID"
    OTP_INVALID = "OTP_INVALID"
    ACCOUNT_DELETED = "ACCOUNT_DELETED"
    INSUFFICIENT_TIER = "INSUFFICIENT_TIER"
    INSUFFICIENT_QUOTA = "INSUFFICIENT_QUOTA"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    FORBIDDEN = "FORBIDDEN"
    ACCOUNT_NOT_CONFIRMED = "ACCOUNT_NOT_CONFIRMED"
    ACCOUNT_NOT_PROVISIONED = "ACCOUNT_NOT_PROVISIONED"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    CONFLICT = "CONFLICT"
    EMAIL_TAKEN = "EMAIL_TAKEN"
    ROOM_FULL = "ROOM_FULL"
    REFERRAL_ALREADY_APPLIED = "REFERRAL_ALREADY_APPLIED"
    PROMO_ALREADY_USED = "PROMO_ALREADY_USED"
    SUBSCRIPTION_STATE = "SUBSCRIPTION_STATE"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    PROMO_INVALID = "PROMO_INVALID"
    CONTENT_REJECTED = "CONTENT_REJECTED"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    MAINTENANCE = "MAINTENANCE"
    READ_ONLY = "READ_ONLY"
    UNAVAILABLE = "UNAVAILABLE"
    PROVIDER_TIMEOUT = "PROVIDER_TIMEOUT"
    UPSTREAM_TIMEOUT = "UPSTREAM_TIMEOUT"


_CODES_BY_STATUS: Mapping[int, tuple[Code, ...]] = {
    400: (Code.MALFORMED_REQUEST, Code.SIGNATURE_INVALID),
    401: (
        Code.AUTH_REQUIRED,
        Code.TOKEN_INVALID,
        Code.TOKEN_EXPIRED,
        Code.CREDENTIALS_INVALID,
        Code.OTP_INVALID,
        Code.ACCOUNT_DELETED,
    ),
    402: (Code.INSUFFICIENT_TIER, Code.INSUFFICIENT_QUOTA, Code.PAYMENT_FAILED),
    403: (Code.FORBIDDEN, Code.ACCOUNT_NOT_CONFIRMED, Code.ACCOUNT_NOT_PROVISIONED),
    404: (Code.NOT_FOUND,),
    405: (Code.METHOD_NOT_ALLOWED,),
    409: (
        Code.CONFLICT,
        Code.EMAIL_TAKEN,
        Code.ROOM_FULL,
        Code.REFERRAL_ALREADY_APPLIED,
        Code.PROMO_ALREADY_USED,
        Code.SUBSCRIPTION_STATE,
        Code.IDEMPOTENCY_IN_PROGRESS,
    ),
    413: (Code.PAYLOAD_TOO_LARGE,),
    415: (Code.UNSUPPORTED_MEDIA_TYPE,),
    422: (
        Code.VALIDATION_ERROR,
        Code.IDEMPOTENCY_KEY_REUSED,
        Code.PROMO_INVALID,
        Code.CONTENT_REJECTED,
    ),
    429: (Code.RATE_LIMITED,),
    500: (Code.INTERNAL_ERROR,),
    502: (Code.PROVIDER_ERROR,),
    503: (Code.MAINTENANCE, Code.READ_ONLY, Code.UNAVAILABLE),
    504: (Code.PROVIDER_TIMEOUT, Code.UPSTREAM_TIMEOUT),
}

#: HTTP status of every code. The only place where a code meets a status.
HTTP_STATUS: Mapping[Code, int] = MappingProxyType(
    {code: status for status, codes in _CODES_BY_STATUS.items() for code in codes}
)


class StranglerError(Exception):
    """Root of every error this product raises on purpose."""

    @property
    def message(self) -> str:
        """What happened, where, and what to do next."""
        return str(self.args[0]) if self.args else type(self).__name__


class OperatorError(StranglerError):
    """Whoever runs the system must act: settings, manifest, state of the migration."""


class CallerError(StranglerError):
    """The client of the API must act; code, message and details are sent to it.

    >>> raise CallerError(Code.NOT_FOUND, "No such title")
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details: Mapping[str, Any] = dict(details or {})
        self.headers: Mapping[str, str] = dict(headers or {})

    @property
    def status(self) -> int:
        return HTTP_STATUS[self.code]


class PeerError(StranglerError):
    """Something this process depends on failed: a database, a broker, a vendor.

    `message` is for logs and operators. Clients see only the code, a fixed sentence and `details`.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code = Code.UNAVAILABLE,
        details: Mapping[str, Any] | None = None,
        retry_after: int = 5,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details: Mapping[str, Any] = dict(details or {})
        self.retry_after = retry_after  # seconds

    @property
    def status(self) -> int:
        return HTTP_STATUS[self.code]


def not_found(what: str = "resource") -> CallerError:
    """404: absent, or not the caller's."""
    return CallerError(Code.NOT_FOUND, f"No such {what}")


def invalid_fields(*fields: tuple[str, str]) -> CallerError:
    """422 with `fields` = (path, message) pairs; paths like `body.price_id`, `query.limit`."""
    return CallerError(
        Code.VALIDATION_ERROR,
        f"{fields[0][0]}: {fields[0][1]}" if fields else "The request is not valid",
        details={"fields": [{"path": path, "message": message} for path, message in fields]},
    )


def insufficient_tier(current: int, required: int) -> CallerError:
    """402: the caller's effective tier is too low."""
    return CallerError(
        Code.INSUFFICIENT_TIER,
        "This needs a higher plan",
        details={"current_tier": current, "required_tier": required},
    )


def insufficient_quota(
    quota_type: str,
    *,
    remaining: int,
    limit: int,
    resets_at: str,
    current_tier: int,
    upgrade_to: int | None,
) -> CallerError:
    """402: the allowance is used up. `resets_at` is a timestamp in the contract's format."""
    return CallerError(
        Code.INSUFFICIENT_QUOTA,
        f"The allowance for {quota_type.replace('_', ' ')} is used up",
        details={
            "quota_type": quota_type,
            "remaining": remaining,
            "limit": limit,
            "resets_at": resets_at,
            "current_tier": current_tier,
            "upgrade_to": upgrade_to,
        },
    )


def subscription_state(
    status: str, tier: int, managed_by: str | None, allowed: Sequence[str]
) -> CallerError:
    """409: the subscription's state forbids the action."""
    return CallerError(
        Code.SUBSCRIPTION_STATE,
        f"A subscription that is {status} does not allow this",
        details={
            "status": status,
            "tier": tier,
            "managed_by": managed_by,
            "allowed": list(allowed),
        },
    )


def provider_failed(message: str, kind: str) -> PeerError:
    """502: a vendor failed; `kind` is model, speech, image, storage, mail, payment, oauth, catalogue."""
    return PeerError(message, code=Code.PROVIDER_ERROR, details={"provider_kind": kind})


def provider_timed_out(message: str, kind: str) -> PeerError:
    """504: a vendor took too long."""
    return PeerError(message, code=Code.PROVIDER_TIMEOUT, details={"provider_kind": kind})
