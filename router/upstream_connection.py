"""One connection to an app: sends a request, reads the answer, says when it may be used again.

Knows nothing of routes, sides or clients: whoever waits for the answer is an `Answering`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from router.chunked import ChunkDecoder, ChunkError
from router.failure import Cause
from router.response_head import BadResponseError, ResponseHead
from router.seams import Answering
from router.sweeper import NEVER, Sweeper

#: Longest response head of an app, in bytes; nginx's proxy_buffer_size is 4 to 8 KiB, cookies need more.
MAX_HEAD_BYTES = 64 * 1024

#: Longest answer that is rescued from a reset connection, in bytes.
MAX_LAST_WORDS_BYTES = 1024 * 1024

_IDLE, _HEAD, _FIXED, _CHUNKED, _UNTIL_CLOSE, _TUNNEL, _CLOSED = range(7)


class UpstreamConnection(asyncio.Protocol):
    """Made by a pool, lent to one exchange at a time."""

    __slots__ = (
        "_buffer", "_decoder", "_has_sent", "_is_dying", "_loop", "_on_idle", "_on_lost",
        "_remaining", "_state", "_sweeper", "_transport", "_twin", "activity_seconds", "closes",
        "counted", "deadline", "first_byte_seconds", "idle_limit", "idle_since", "pool_key",
        "user", "was_reused",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sweeper: Sweeper,
        on_idle: Callable[[UpstreamConnection], None],
        on_lost: Callable[[UpstreamConnection], None],
        pool_key: object,
    ) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: Any = None
        self._state = _IDLE
        self._buffer = b""
        self._remaining = 0
        self._decoder: ChunkDecoder | None = None
        self.pool_key = pool_key
        self.user: Answering | None = None
        self.was_reused = False
        self._twin: socket.socket | None = None
        self._has_sent = False
        self._is_dying = False
        self.closes = False
        self.counted = False
        self.deadline = NEVER
        self.first_byte_seconds = 60.0
        self.activity_seconds = 100.0
        self.idle_since = 0.0
        self.idle_limit = NEVER

    # ---- lending --------------------------------------------------------------------------------

    def lend(self, user: Answering, *, first_byte_seconds: float, activity_seconds: float) -> None:
        """Give the connection to `user`, who sends its request next."""
        self.user = user
        self.first_byte_seconds = first_byte_seconds
        self.activity_seconds = activity_seconds
        self._state = _HEAD
        self._has_sent = False

    def watch(self) -> None:
        """Keep deadlines from now on.

        Not before the pool has the connection in its hands: uvloop never reports the end of one whose
        connecting was cancelled at the last moment.
        """
        self.counted = True
        self._sweeper.add(self)

    @property
    def is_usable(self) -> bool:
        """Whether an idle connection may be lent again."""
        transport = self._transport
        return self._state == _IDLE and transport is not None and not transport.is_closing()

    def send(self, data: bytes) -> None:
        """Bytes of the request; every write pushes the first-byte deadline on."""
        if self._state == _CLOSED:
            return
        if self._state == _HEAD:
            self.deadline = self._loop.time() + self.first_byte_seconds
            if self._has_sent and self._twin is None:
                handle = self._transport.get_extra_info("socket")
                self._twin = socket.fromfd(handle.fileno(), handle.family, handle.type)
            self._has_sent = True
        self._transport.write(data)

    def end_of_request(self) -> None:
        """The request is whole: from now on the app owes an answer."""
        if self._state == _HEAD:
            self.deadline = self._loop.time() + self.first_byte_seconds

    def pause_reading(self) -> None:
        self.deadline = NEVER
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self.deadline = self._loop.time() + self.activity_seconds
            self._transport.resume_reading()

    def start_tunnel(self) -> None:
        """From now on bytes pass as they are."""
        self._state = _TUNNEL
        self.deadline = NEVER

    def half_close(self) -> None:
        if self._state != _CLOSED and self._transport.can_write_eof():
            self._transport.write_eof()

    def abort(self) -> None:
        """End at once; the user hears nothing more."""
        self.user = None
        self._end()

    def close_idle(self) -> None:
        """End an idle connection."""
        if self._state == _IDLE:
            self._state = _CLOSED
            self.deadline = NEVER
            if self._transport is not None:
                self._transport.close()

    # ---- transport callbacks --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == _HEAD:
            self._read_head(data)
        elif state == _TUNNEL:
            if self.user is not None:
                self.user.tunnel_bytes(data)
        elif state in {_IDLE, _CLOSED}:
            # Bytes that nobody asked for would be taken for the answer to the next request.
            self._end()
        else:
            self.deadline = self._loop.time() + self.activity_seconds
            self._read_body(data)

    def eof_received(self) -> bool:
        if self._state == _UNTIL_CLOSE:
            user, self.user = self.user, None
            self._end()
            if user is not None:
                user.response_body(b"", True)
        elif self._state == _TUNNEL and self.user is not None:
            self.user.tunnel_ended()
            return True
        else:
            self._fail(self._lost_cause())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweeper.remove(self)
        self._hear_last_words()
        if self._state != _CLOSED:
            cause = self._lost_cause()
            self._state = _CLOSED
            self._tell_lost(cause)
        self._on_lost(self)

    def pause_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(False)

    def resume_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(True)

    def deadline_passed(self, now: float) -> None:
        if self._state == _IDLE:
            self.close_idle()
        elif self._state == _HEAD:
            self._fail(Cause.FIRST_BYTE_TIMEOUT)
        else:
            self._fail(Cause.UPSTREAM_STALLED)

    def _hear_last_words(self) -> None:
        """Read an answer that came before the reset which a failed write has met (RFC 9112 section 9.5).

        An app that refuses an upload answers and closes with bytes unread, which resets the connection.
        The transport gives up at the failed write; the kernel still has the answer.
        """
        twin = self._twin
        if twin is None:
            return
        self._is_dying = True
        found = b""
        with contextlib.suppress(OSError):
            while len(found) < MAX_LAST_WORDS_BYTES and (piece := twin.recv(65_536)):
                found += piece
        if found and self._state in {_HEAD, _FIXED, _CHUNKED, _UNTIL_CLOSE}:
            self.data_received(found)
        self._drop_twin()

    def _drop_twin(self) -> None:
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.close()

    # ---- reading --------------------------------------------------------------------------------

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
        if not head.is_intact:
            self.idle_limit = head.idle_seconds
        if head.status == 101:
            self.deadline = NEVER
            user.response_head(head, data, start, data[start:], False)
            return
        self.deadline = self._loop.time() + self.activity_seconds
        behind = len(data) - start
        if head.has_no_body:
            data = data[:start] if behind else data
            self._finish(user, head, data, start, b"", is_clean=behind == 0)
        elif head.is_chunked:
            self._decoder = ChunkDecoder()
            self._state = _CHUNKED
            self._first_chunks(user, head, data, start)
        elif head.body_bytes >= 0:
            if behind >= head.body_bytes:
                end = start + head.body_bytes
                body = data[start:end]
                if behind > head.body_bytes:
                    data = data[:end]
                self._finish(user, head, data, start, body, is_clean=behind == head.body_bytes)
                return
            self._remaining = head.body_bytes - behind
            self._state = _FIXED
            user.response_head(head, data, start, data[start:], False)
        else:
            self._state = _UNTIL_CLOSE
            user.response_head(head, data, start, data[start:], False)

    def _first_chunks(self, user: Answering, head: ResponseHead, data: bytes, start: int) -> None:
        decoder = self._decoder
        assert decoder is not None  # noqa: S101 - set by the caller
        try:
            body = decoder.feed(data[start:])
        except ChunkError:
            self._fail(Cause.UPSTREAM_GARBAGE)
            return
        if decoder.done:
            self._finish(user, head, data, start, body, is_clean=not decoder.rest)
        else:
            user.response_head(head, data, start, body, False)

    def _read_body(self, data: bytes) -> None:
        user = self.user
        if user is None:
            self._end()
        elif self._state == _FIXED:
            size = len(data)
            if size < self._remaining:
                self._remaining -= size
                user.response_body(data, False)
            else:
                is_clean = size == self._remaining
                self._release(user, is_clean)
                user.response_body(data if is_clean else data[: self._remaining], True)
        elif self._state == _CHUNKED:
            self._read_chunks(user, data)
        else:
            user.response_body(data, False)

    def _read_chunks(self, user: Answering, data: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None  # noqa: S101 - the state says so
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

    # ---- ending ---------------------------------------------------------------------------------

    def _finish(
        self,
        user: Answering,
        head: ResponseHead,
        data: bytes,
        start: int,
        body: bytes,
        *,
        is_clean: bool,
    ) -> None:
        """The answer came whole with its head: free the connection first, then deliver."""
        self._release(user, is_clean)
        user.response_head(head, data, start, body, True)

    def _release(self, user: Answering, is_clean: bool) -> None:
        """Back to the pool, unless the connection is owed bytes or has some too many."""
        self.user = None
        self._decoder = None
        self._drop_twin()
        if not is_clean or self.closes or self._is_dying or not user.is_request_sent():
            self._end()
            return
        self._state = _IDLE
        self.was_reused = True
        self.idle_since = self._loop.time()
        self.deadline = NEVER
        self._on_idle(self)

    def _lost_cause(self) -> Cause:
        return Cause.UPSTREAM_RESET if self._state == _HEAD else Cause.UPSTREAM_TRUNCATED

    def _fail(self, cause: Cause) -> None:
        self._end()
        self._tell_lost(cause)

    def _tell_lost(self, cause: Cause) -> None:
        user, self.user = self.user, None
        if user is not None:
            user.upstream_lost(cause)

    def _end(self) -> None:
        if self._state != _CLOSED:
            self._state = _CLOSED
            self.deadline = NEVER
            self._drop_twin()
            self._transport.abort()
