"""Sizes and waiting times of a client's connection, and the answers for what exceeds them; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.failure import Cause, Refusal, malformed
from shared.errors import Code

#: A head up to this size is within every limit that can be configured: four bytes are the least line.
SMALL_HEAD_BYTES: Final = 800


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Sizes in bytes, waiting times in seconds; `max_clients` connections of one worker."""

    max_head_bytes: int = 32_768
    max_url_bytes: int = 8_192
    max_fields: int = 200
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    write_seconds: float = 60.0
    max_clients: int = 16_384


def too_large_head(data: bytes, line_end: int, limits: ClientLimits) -> Refusal | None:
    """The answer to a head, or a part of one, that is too large; `line_end` is -1 before it is known."""
    if (len(data) if line_end < 0 else line_end) > limits.max_url_bytes:
        return malformed("the request line is too long", status=414, cause=Cause.URL_TOO_LONG)
    if len(data) > limits.max_head_bytes or data.count(b"\r\n") > limits.max_fields + 2:
        return malformed("the request head is too large", status=431, cause=Cause.HEAD_TOO_LARGE)
    return None


def too_large_body(limit: int) -> Refusal:
    """413 with the limit that was passed."""
    return Refusal(
        Code.PAYLOAD_TOO_LARGE,
        "The request body is too large",
        Cause.BODY_TOO_LARGE,
        details={"limit_bytes": limit},
    )


def too_many_clients() -> Refusal:
    """503 for a connection beyond the limit; it ends with the answer."""
    return Refusal(
        Code.UNAVAILABLE,
        "Too many connections; try again soon",
        Cause.TOO_MANY_CLIENTS,
        details={"scope": "all", "until": None, "retry_after": 1},
        headers=(("Retry-After", "1"),),
        close=True,
    )


def too_slow(what: str, cause: Cause) -> Refusal:
    """408; nothing of the request can be used, so the connection ends."""
    return malformed(f"the request {what} took too long", status=408, cause=cause)
