"""Deliveries as senders make them: for tests, the demo and the stand-ins of vendors; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.webhooks.signatures import sign_standard, sign_stripe, standard_key


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request body with the headers that prove it."""

    body: bytes
    headers: Mapping[str, str]


def stripe_delivery(payload: Mapping[str, Any], secret: str, timestamp: int) -> Outgoing:
    """As Stripe sends it."""
    body = json.dumps(payload).encode()
    signature = sign_stripe(timestamp, body, secret.encode())
    return Outgoing(
        body,
        {
            "content-type": "application/json; charset=utf-8",
            "stripe-signature": f"t={timestamp},v1={signature}",
        },
    )


def standard_delivery(
    message_id: str,
    payload: Mapping[str, Any],
    secret: str,
    timestamp: int,
    *,
    prefix: str = "webhook",
) -> Outgoing:
    """As Standard Webhooks senders do it; Clerk's `prefix` is `svix`. `secret` is `whsec_…`."""
    key = standard_key(secret)
    if key is None:
        raise ValueError("the secret is not whsec_<base64>")
    body = json.dumps(payload).encode()
    return Outgoing(
        body,
        {
            "content-type": "application/json",
            f"{prefix}-id": message_id,
            f"{prefix}-timestamp": str(timestamp),
            f"{prefix}-signature": sign_standard(message_id, timestamp, body, key),
        },
    )


def static_delivery(payload: Mapping[str, Any], authorization: str) -> Outgoing:
    """As RevenueCat and Supabase's database webhooks do it."""
    return Outgoing(
        json.dumps(payload).encode(),
        {"content-type": "application/json", "authorization": authorization},
    )
