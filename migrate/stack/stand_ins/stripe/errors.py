"""Stripe's refusals, with the status and body that the SDKs translate; pure (docs.stripe.com/api/errors)."""

from __future__ import annotations

from typing import Any


class StripeCallError(Exception):
    """Answered as `{"error": {…}}` with `status`."""

    def __init__(self, status: int, kind: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"type": kind, "message": message, **more}


def invalid(message: str, param: str = "", code: str = "") -> StripeCallError:
    more = {name: value for name, value in (("param", param), ("code", code)) if value}
    return StripeCallError(400, "invalid_request_error", message, **more)


def missing(kind: str, wanted: str) -> StripeCallError:
    message = f"No such {kind}: '{wanted}'"
    return StripeCallError(
        404, "invalid_request_error", message, code="resource_missing", param="id"
    )


def declined() -> StripeCallError:
    return StripeCallError(
        402,
        "card_error",
        "Your card was declined.",
        code="card_declined",
        decline_code="generic_decline",
    )
