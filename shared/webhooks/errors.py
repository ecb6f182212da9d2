"""What can go wrong with a webhook; knows no HTTP."""

from __future__ import annotations

from shared.errors import CallerError, Code, OperatorError


class SignatureInvalidError(CallerError):
    """A delivery is not from its sender, or not from now; nothing is stored.

    `reason` is one word for logs and metrics: missing, malformed, mismatch, too_old, too_new,
    livemode.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            Code.SIGNATURE_INVALID,
            f"The signature of this webhook is not valid ({reason.replace('_', ' ')})",
        )
        self.reason = reason


class MalformedDeliveryError(CallerError):
    """Rightly signed, but not a delivery of this sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            Code.MALFORMED_REQUEST, f"The body of this webhook cannot be read: {reason}"
        )
        self.reason = reason


class WebhookSecretError(OperatorError):
    """A configured secret cannot be used; never holds the secret."""

    def __init__(self, provider: str, place: int, reason: str) -> None:
        variable = f"WEBHOOK_SECRETS_{provider.upper()}"
        super().__init__(f"{variable}: secret {place} {reason}")
        self.provider = provider
