"""Who sent these bytes: Standard Webhooks, Stripe, fixed tokens (contract, 1.13); pure, constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monolith.errors import ApiError

TOLERANCE_SECONDS = 300
PREFIXES = ("webhook-", "svix-")


@dataclass(frozen=True, slots=True)
class Signed:
    """A delivery that passed; message_id is the sender's id, if the scheme has one."""

    message_id: str | None


def signature_invalid() -> ApiError:
    return ApiError("SIGNATURE_INVALID", "The signature is missing, wrong or too old")


def check_standard(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float
) -> Signed:
    """Standard Webhooks, with `webhook-` or `svix-` headers."""
    for prefix in PREFIXES:
        message_id = headers.get(prefix + "id")
        timestamp = headers.get(prefix + "timestamp")
        signatures = headers.get(prefix + "signature")
        if message_id and timestamp and signatures:
            _check_time(timestamp, now)
            text = f"{message_id}.{timestamp}.".encode() + body
            given = [s.removeprefix("v1,") for s in signatures.split(" ") if s.startswith("v1,")]
            _check_any(given, (_standard_signature(s, text) for s in secrets))
            return Signed(message_id)
    raise signature_invalid()


def _standard_signature(secret: str, text: bytes) -> str | None:
    encoded = secret.removeprefix("v1,")
    if not encoded.startswith("whsec_"):
        return None
    try:
        key = base64.b64decode(encoded.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def check_stripe(header: str | None, body: bytes, secrets: Sequence[str], now: float) -> None:
    """`Stripe-Signature: t=…,v1=…`, several v1 allowed."""
    pairs = [part.partition("=") for part in (header or "").split(",")]
    times = [value for name, _, value in pairs if name.strip() == "t"]
    given = [value for name, _, value in pairs if name.strip() == "v1"]
    if len(times) != 1 or not given:
        raise signature_invalid()
    _check_time(times[0], now)
    text = times[0].encode() + b"." + body
    _check_any(
        given,
        (hmac.new(s.encode(), text, hashlib.sha256).hexdigest() for s in secrets),
    )


def check_fixed(given: str | None, secrets: Sequence[str]) -> None:
    """A header that equals one of the configured values."""
    if given is None:
        raise signature_invalid()
    _check_any([given], secrets)


def _check_time(text: str, now: float) -> None:
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        raise signature_invalid()
    if abs(now - int(text)) > TOLERANCE_SECONDS:
        raise signature_invalid()


def _check_any(given: Sequence[str], expected: Iterable[str | None]) -> None:
    """Compares all with all, so that time tells nothing about which one was close."""
    matches = False
    for good in expected:
        for candidate in given:
            matches |= good is not None and hmac.compare_digest(
                good.encode(), candidate.encode("utf-8", "surrogateescape")
            )
    if not matches:
        raise signature_invalid()
