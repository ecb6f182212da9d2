"""Request ids and trace ids: taken over when they are well formed, made when not; knows no requests."""

from __future__ import annotations

import os
from typing import Final

_ID_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_HEX: Final = b"0123456789abcdef"
#: Random ids are made this many at a time: one system call for all of them.
_BATCH: Final = 256


def is_request_id(value: bytes) -> bool:
    """Whether a client's X-Request-Id is kept: `^[A-Za-z0-9._-]{1,64}$` (contract, 1.2)."""
    return 0 < len(value) <= 64 and not value.translate(None, _ID_BYTES)


def is_traceparent(value: bytes) -> bool:
    """Whether a W3C `traceparent` of version 00 is well formed and names a trace."""
    parts = value.split(b"-")
    return (
        [len(part) for part in parts] == [2, 32, 16, 2]
        and not value.translate(None, _HEX + b"-")
        and parts[0] == b"00"
        and parts[1].strip(b"0") != b""
        and parts[2].strip(b"0") != b""
    )


def new_traceparent(request_id: bytes) -> bytes:
    """A `traceparent` whose trace id is that of a UUID request id, else a random one."""
    trace = request_id.replace(b"-", b"")
    if len(trace) != 32 or trace.translate(None, _HEX) or not trace.strip(b"0"):
        trace = os.urandom(16).hex().encode("ascii")
    return b"00-" + trace + b"-" + trace[:15] + b"1-01"


def traceparent_of_uuid(request_id: bytes) -> bytes:
    """The same for an id that the router made itself, which needs no check."""
    trace = request_id.replace(b"-", b"")
    return b"00-" + trace + b"-" + trace[:15] + b"1-01"


class RequestIds:
    """A source of random UUIDs (version 4) as bytes."""

    __slots__ = ("_ready",)

    def __init__(self) -> None:
        self._ready: list[bytes] = []

    def next(self) -> bytes:
        """A new id."""
        if not self._ready:
            self._refill()
        return self._ready.pop()

    def _refill(self) -> None:
        digits = os.urandom(16 * _BATCH).hex().encode("ascii")
        for start in range(0, len(digits), 32):
            h = digits[start : start + 32]
            self._ready.append(b"%b-%b-4%b-a%b-%b" % (h[:8], h[8:12], h[13:16], h[17:20], h[20:]))
