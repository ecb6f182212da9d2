"""The one shape of every error answer and the status of every code; knows no domain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Response

# Code -> status; contract, 1.6.
STATUS = {
    "MALFORMED_REQUEST": 400,
    "SIGNATURE_INVALID": 400,
    "AUTH_REQUIRED": 401,
    "TOKEN_INVALID": 401,
    "TOKEN_EXPIRED": 401,
    "CREDENTIALS_INVALID": 401,
    "OTP_INVALID": 401,
    "ACCOUNT_DELETED": 401,
    "INSUFFICIENT_TIER": 402,
    "INSUFFICIENT_QUOTA": 402,
    "PAYMENT_FAILED": 402,
    "FORBIDDEN": 403,
    "ACCOUNT_NOT_CONFIRMED": 403,
    "ACCOUNT_NOT_PROVISIONED": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "CONFLICT": 409,
    "EMAIL_TAKEN": 409,
    "ROOM_FULL": 409,
    "REFERRAL_ALREADY_APPLIED": 409,
    "PROMO_ALREADY_USED": 409,
    "SUBSCRIPTION_STATE": 409,
    "IDEMPOTENCY_IN_PROGRESS": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "VALIDATION_ERROR": 422,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "PROMO_INVALID": 422,
    "CONTENT_REJECTED": 422,
    "RATE_LIMITED": 429,
    "INTERNAL_ERROR": 500,
    "PROVIDER_ERROR": 502,
    "MAINTENANCE": 503,
    "READ_ONLY": 503,
    "UNAVAILABLE": 503,
    "PROVIDER_TIMEOUT": 504,
    "UPSTREAM_TIMEOUT": 504,
}
Details = Mapping[str, Any]


class ApiError(Exception):
    """An answer other than success: code, message for people, details for programs."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Details | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def error_object(self, request_id: str) -> dict[str, Any]:
        """The `error` object of an answer or of an event stream."""
        return {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "request_id": request_id,
        }

    def response(self, request_id: str) -> Response:
        # `detail` is what clients of the first API read: an object for 402, else the message.
        detail: Any = self.message
        if self.status == 402:
            detail = {"code": self.code, "message": self.message, **self.details}
        headers = dict(self.headers)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        body = {"error": self.error_object(request_id), "detail": detail}
        return Response(
            json.dumps(body, ensure_ascii=False).encode(),
            self.status,
            headers,
            media_type="application/json",
        )


def not_found(message: str = "Not found") -> ApiError:
    return ApiError("NOT_FOUND", message)


def invalid_field(path: str, message: str) -> ApiError:
    """A 422 that names one field, e.g. `body.model`."""
    return invalid_fields([(path, message)])


def invalid_fields(fields: Sequence[tuple[str, str]]) -> ApiError:
    listed = [{"path": path, "message": message} for path, message in fields]
    return ApiError("VALIDATION_ERROR", "The request has invalid fields", {"fields": listed})


def unavailable(
    message: str = "The service is unavailable for a moment",
    *,
    scope: str = "all",
    retry_after: int = 1,
) -> ApiError:
    details = {"scope": scope, "until": None, "retry_after": retry_after}
    return ApiError("UNAVAILABLE", message, details, {"Retry-After": str(retry_after)})


def malformed(message: str) -> ApiError:
    return ApiError("MALFORMED_REQUEST", message)


def too_large(limit_bytes: int) -> ApiError:
    return ApiError(
        "PAYLOAD_TOO_LARGE", f"At most {limit_bytes} bytes", {"limit_bytes": limit_bytes}
    )


def unsupported_type(allowed: Sequence[str]) -> ApiError:
    return ApiError(
        "UNSUPPORTED_MEDIA_TYPE", "Allowed types: " + ", ".join(allowed), {"allowed": list(allowed)}
    )


def provider_failed(kind: str) -> ApiError:
    """502; kind: model, speech, image, storage, mail, payment, oauth, catalogue."""
    return ApiError("PROVIDER_ERROR", f"The {kind} provider failed", {"provider_kind": kind})


def provider_timed_out(kind: str) -> ApiError:
    return ApiError(
        "PROVIDER_TIMEOUT", f"The {kind} provider took too long", {"provider_kind": kind}
    )


def content_rejected() -> ApiError:
    return ApiError("CONTENT_REJECTED", "Moderation refused this content")
