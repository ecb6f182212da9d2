"""The signature schemes of webhook senders; pure: bytes, headers, keys and the time in, verdict out.

Written on the standard library because the senders' own libraries disagree about lists of secrets,
timestamps ahead of time and malformed headers; they are the oracles of the tests instead.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.webhooks.errors import SignatureInvalidError

#: Seconds that a timestamp may be off, in both directions (public contract, 1.13).
TOLERANCE_SECONDS = 300
#: Longest header that is looked at: a signature is about 50 bytes, a rotation has a few of them.
MAX_HEADER_CHARACTERS = 4096
#: The two spellings of the Standard Webhooks headers.
STANDARD_PREFIXES = ("webhook", "svix")


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that holds: the sender's id (if the scheme has one), when, and by which key."""

    id: str | None
    timestamp: int
    key_index: int


def standard_key(secret: str) -> bytes | None:
    """The key of a Standard Webhooks secret `whsec_<base64>` or `v1,whsec_<base64>`, else None."""
    text = secret.removeprefix("v1,")
    if not text.startswith("whsec_"):
        return None
    try:
        key = base64.b64decode(text.removeprefix("whsec_") + "==", validate=False)
    except binascii.Error:
        return None
    return key or None


def verify_standard(
    headers: Mapping[str, str], body: bytes, keys: Sequence[bytes], now: float
) -> Signed:
    """Standard Webhooks (Supabase hooks, svix, Clerk). `headers` have lower-case names.

    Raises SignatureInvalidError with a reason, whatever the headers hold.
    """
    for prefix in STANDARD_PREFIXES:
        if f"{prefix}-signature" in headers:
            break
    else:
        raise SignatureInvalidError("missing")
    try:
        message_id = headers[f"{prefix}-id"]
        moment = headers[f"{prefix}-timestamp"]
    except KeyError as error:
        raise SignatureInvalidError("missing") from error
    if not message_id or len(message_id) > 255 or not message_id.isascii():
        raise SignatureInvalidError("malformed")
    timestamp = _timestamp(moment)
    given = [
        decoded
        for entry in _entries(headers[f"{prefix}-signature"], " ")
        if (decoded := _base64_signature(entry)) is not None
    ]
    if not given:
        raise SignatureInvalidError("malformed")
    _check_age(timestamp, now)
    signed = f"{message_id}.{moment.strip()}.".encode() + body
    return Signed(message_id, timestamp, _matching_key(signed, keys, given))


def verify_stripe(header: str | None, body: bytes, keys: Sequence[bytes], now: float) -> Signed:
    """`Stripe-Signature: t=…,v1=…`; the key is the whole secret as it is written.

    Raises SignatureInvalidError with a reason, whatever the header holds.
    """
    if not header:
        raise SignatureInvalidError("missing")
    moments: list[str] = []
    given: list[bytes] = []
    for entry in _entries(header, ","):
        name, _, value = entry.strip().partition("=")
        if name == "t":
            moments.append(value)
        elif name == "v1" and len(value) == 64 and value.isascii():
            try:
                given.append(bytes.fromhex(value))
            except ValueError:
                continue
    if len(moments) != 1 or not given:
        raise SignatureInvalidError("malformed")
    timestamp = _timestamp(moments[0])
    _check_age(timestamp, now)
    signed = f"{moments[0]}.".encode() + body
    return Signed(None, timestamp, _matching_key(signed, keys, given))


def verify_static(value: str | None, expected: Sequence[str]) -> int:
    """The index of the configured value that `value` equals, compared in constant time."""
    if value is None:
        raise SignatureInvalidError("missing")
    given = value.encode("utf-8", "surrogateescape")
    found = -1
    for index, wanted in enumerate(expected):
        if hmac.compare_digest(given, wanted.encode()) and found < 0:
            found = index
    if found < 0:
        raise SignatureInvalidError("mismatch")
    return found


def sign_standard(message_id: str, timestamp: int, body: bytes, key: bytes) -> str:
    """One entry of a `webhook-signature` header, as a sender makes it."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(_mac(key, signed)).decode()}"


def sign_stripe(timestamp: int, body: bytes, key: bytes) -> str:
    """The `v1` value of a `Stripe-Signature` header, as Stripe makes it."""
    return _mac(key, f"{timestamp}.".encode() + body).hex()


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _matching_key(signed: bytes, keys: Sequence[bytes], given: Sequence[bytes]) -> int:
    """Which key made one of the given signatures; every pair is compared, in constant time each."""
    found = -1
    for index, key in enumerate(keys):
        wanted = _mac(key, signed)
        for signature in given:
            if hmac.compare_digest(wanted, signature) and found < 0:
                found = index
    if found < 0:
        raise SignatureInvalidError("mismatch")
    return found


def _entries(header: str, separator: str) -> list[str]:
    if len(header) > MAX_HEADER_CHARACTERS:
        raise SignatureInvalidError("malformed")
    return [entry for entry in header.split(separator) if entry]


def _base64_signature(entry: str) -> bytes | None:
    version, _, text = entry.partition(",")
    if version != "v1" or not text.isascii():
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def _timestamp(text: str) -> int:
    stripped = text.strip()
    if not stripped.isascii() or not stripped.isdecimal() or len(stripped) > 12:
        raise SignatureInvalidError("malformed")
    return int(stripped)


def _check_age(timestamp: int, now: float) -> None:
    if timestamp < now - TOLERANCE_SECONDS:
        raise SignatureInvalidError("too_old")
    if timestamp > now + TOLERANCE_SECONDS:
        raise SignatureInvalidError("too_new")
