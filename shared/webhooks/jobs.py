"""What a worker does by the clock for webhooks."""

from __future__ import annotations

from shared.events.periodic import Periodic
from shared.webhooks.processor import WebhookProcessor

#: The contract promises effects at most 5 s after the receipt.
SWEEP_SECONDS = 2.0
ALARM_SECONDS = 900.0


def webhook_jobs(processor: WebhookProcessor) -> list[Periodic]:
    """Sweep what is due; report what is open after three days."""
    return [
        Periodic("webhook-sweep", SWEEP_SECONDS, processor.sweep),
        Periodic("webhook-alarm", ALARM_SECONDS, processor.alarm),
    ]
