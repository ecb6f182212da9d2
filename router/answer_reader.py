"""Reads one answer of an app from its bytes and tells whoever waits for it; knows no transport.

The connection is freed before the last part of an answer is delivered, so that the next request, which a
pipelining client may cause at once, finds it in the pool.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from router.chunked import ChunkDecoder, ChunkError
from router.failure import Cause
from router.response_head import BadResponseError, ResponseHead
from router.seams import Answering, UpstreamLink

#: Longest response head of an app, in bytes; nginx's proxy_buffer_size is 4 to 8 KiB, cookies need more.
MAX_HEAD_BYTES: Final = 64 * 1024

IDLE: Final = 0
HEAD: Final = 1
FIXED: Final = 2
CHUNKED: Final = 3
UNTIL_CLOSE: Final = 4
TUNNEL: Final = 5
CLOSED: Final = 6


class AnswerReader(UpstreamLink):
    """State of the answer side of one connection."""

    def __init__(self) -> None:
        self.user: Answering | None = None
        self.was_reused = False
        self.closes = False
        self.idle_limit = float("inf")
        self._state = IDLE
        self._buffer = b""
        self._remaining = 0
        self._decoder: ChunkDecoder | None = None

    @abstractmethod
    def _begin_answer(self) -> None:
        """A final head has arrived, and more of its answer is to come."""

    @abstractmethod
    def _release(self, user: Answering, is_clean: bool) -> None:
        """The answer is whole; `is_clean` when no byte followed it."""

    @abstractmethod
    def _fail(self, cause: Cause) -> None:
        """The answer cannot be read."""

    def _read_head(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        user = self.user
        while user is not None:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD_BYTES:
                    self._fail(Cause.UPSTREAM_GARBAGE)
                self._buffer = data
                return
            end += 4
            try:
                head = ResponseHead(data if end == len(data) else data[:end], user.method)
            except BadResponseError:
                self._fail(Cause.UPSTREAM_GARBAGE)
                return
            if head.status >= 200 or head.status == 101:
                self._answered(user, head, data, end)
                return
            # Any number of 1xx, then the final head (RFC 9110 section 15.2).
            user.informational(head)
            data = data[end:]
            if not data:
                return

    def _answered(self, user: Answering, head: ResponseHead, data: bytes, start: int) -> None:
        self.closes = head.closes
        self.idle_limit = float("inf") if head.is_intact else head.idle_seconds
        behind = len(data) - start
        length = head.body_bytes
        if head.status == 101:
            user.response_head(head, data, start, data[start:], False)
        elif head.is_chunked:
            self._begin_answer()
            self._decoder = ChunkDecoder()
            self._state = CHUNKED
            self._first_chunks(user, head, data, start)
        elif length < 0:
            self._begin_answer()
            self._state = UNTIL_CLOSE
            user.response_head(head, data, start, data[start:], False)
        elif behind >= length:
            is_clean = behind == length
            if not is_clean:
                data = data[: start + length]
            self._release(user, is_clean)
            user.response_head(head, data, start, data[start:], True)
        else:
            self._begin_answer()
            self._remaining = length - behind
            self._state = FIXED
            user.response_head(head, data, start, data[start:], False)

    def _first_chunks(self, user: Answering, head: ResponseHead, data: bytes, start: int) -> None:
        decoder = self._decoder
        if decoder is None:
            return
        try:
            body = decoder.feed(data[start:])
        except ChunkError:
            self._fail(Cause.UPSTREAM_GARBAGE)
            return
        if decoder.done:
            self._release(user, not decoder.rest)
        user.response_head(head, data, start, body, decoder.done)

    def _read_body(self, data: bytes) -> None:
        user = self.user
        if user is None:
            self._fail(Cause.UPSTREAM_GARBAGE)
        elif self._state == FIXED:
            size = len(data)
            if size < self._remaining:
                self._remaining -= size
                user.response_body(data, False)
            else:
                is_clean = size == self._remaining
                self._release(user, is_clean)
                user.response_body(data if is_clean else data[: self._remaining], True)
        elif self._state == CHUNKED:
            self._read_chunks(user, data)
        else:
            user.response_body(data, False)

    def _read_chunks(self, user: Answering, data: bytes) -> None:
        decoder = self._decoder
        if decoder is None:
            return
        try:
            body = decoder.feed(data)
        except ChunkError:
            self._fail(Cause.UPSTREAM_GARBAGE)
            return
        if decoder.done:
            self._release(user, not decoder.rest)
            user.response_body(body, True)
        elif body:
            user.response_body(body, False)
