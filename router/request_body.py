"""Finds the end of one request's body and counts it; pure, told the time."""

from __future__ import annotations

from typing import Final

from router.chunked import ChunkDecoder

#: A client that sends a body must keep this rate on average after the first wait, in bytes a second
#: (Apache's RequestReadTimeout has the same number).
MIN_RATE: Final = 500


class RequestBody:
    """A body of `content_length` bytes, or a chunked one. Payload comes out, framing stays here."""

    __slots__ = ("_decoder", "_left", "_started", "is_complete", "received", "rest")

    def __init__(self, content_length: int, *, is_chunked: bool, started: float) -> None:
        self._left = content_length
        self._decoder = ChunkDecoder() if is_chunked else None
        self._started = started
        self.received = 0
        self.is_complete = False
        self.rest = b""  # what followed the body

    def take(self, data: bytes) -> bytes:
        """The payload in `data`. Raises ChunkError."""
        decoder = self._decoder
        if decoder is not None:
            payload = decoder.feed(data)
            self.is_complete = decoder.done
            self.rest = decoder.rest
        else:
            payload = data
            if len(data) > self._left:
                payload, self.rest = data[: self._left], data[self._left :]
            self._left -= len(payload)
            self.is_complete = self._left == 0
        self.received += len(payload)
        return payload

    def deadline(self, now: float, wait_seconds: float) -> float:
        """When the next byte must be here: bytes earn time, silence and dripping do not."""
        earned = self._started + wait_seconds + self.received / MIN_RATE
        return min(now + wait_seconds, earned)

    def excuse(self, seconds: float) -> None:
        """The router itself did not read for this long: that is not the client's time."""
        self._started += seconds
