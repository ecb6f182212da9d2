"""Webhooks: one verifier for every sender, one inbox for both sides, each delivery applied once."""

from shared.webhooks.deferral import DeferredError, deferring
from shared.webhooks.errors import SignatureInvalidError
from shared.webhooks.intake import Receipt, WebhookIntake
from shared.webhooks.processor import Effect, Verdict, WebhookProcessor
from shared.webhooks.providers import Delivery, WebhookReader, webhook_readers

__all__ = [
    "DeferredError",
    "Delivery",
    "Effect",
    "Receipt",
    "SignatureInvalidError",
    "Verdict",
    "WebhookIntake",
    "WebhookProcessor",
    "WebhookReader",
    "deferring",
    "webhook_readers",
]
