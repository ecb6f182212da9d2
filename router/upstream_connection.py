"""One connection to an app: sends requests, keeps its deadlines, says when it may be used again.

Knows nothing of routes, sides or clients: whoever waits for the answer is an `Answering`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from typing import Any, Final

from router.answer_reader import (
    CHUNKED,
    CLOSED,
    FIXED,
    HEAD,
    IDLE,
    TUNNEL,
    UNTIL_CLOSE,
    AnswerReader,
)
from router.failure import Cause
from router.seams import Answering
from router.sweeper import NEVER, Sweeper

#: Longest answer that is rescued from a reset connection, in bytes.
MAX_LAST_WORDS_BYTES: Final = 1024 * 1024


class ConnectionOwner(ABC):
    """The pool that made a connection."""

    @abstractmethod
    def connection_idle(self, connection: UpstreamConnection) -> None:
        """It may be used again."""

    @abstractmethod
    def connection_lost(self, connection: UpstreamConnection) -> None:
        """It has ended."""


class UpstreamConnection(AnswerReader):
    """Made by a pool, lent to one exchange at a time. An asyncio protocol by its methods.

    It has no asyncio base class, so that it can be compiled (see `router.native`).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sweeper: Sweeper,
        owner: ConnectionOwner,
        pool_key: object,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._sweeper = sweeper
        self._owner = owner
        self._transport: Any = None
        self._twin: socket.socket | None = None
        self._has_sent = False
        self._is_dying = False
        self.pool_key = pool_key
        self.counted = False
        self.deadline = NEVER
        self.first_byte_seconds = 60.0
        self.activity_seconds = 100.0
        self.idle_since = 0.0

    # ---- lending --------------------------------------------------------------------------------

    def lend(self, user: Answering, *, first_byte_seconds: float, activity_seconds: float) -> None:
        """Give the connection to `user`, who sends its request next."""
        self.user = user
        self.first_byte_seconds = first_byte_seconds
        self.activity_seconds = activity_seconds
        self._state = HEAD
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
        return self._state == IDLE and transport is not None and not transport.is_closing()

    def send(self, data: bytes) -> None:
        """Bytes of the request; every write pushes the first-byte deadline on."""
        if self._state == CLOSED:
            return
        if self._state == HEAD:
            self.deadline = self._loop.time() + self.first_byte_seconds
            if self._has_sent and self._twin is None:
                handle = self._transport.get_extra_info("socket")
                self._twin = socket.fromfd(handle.fileno(), handle.family, handle.type)
            self._has_sent = True
        self._transport.write(data)

    def end_of_request(self) -> None:
        """The request is whole: from now on the app owes an answer."""
        if self._state == HEAD:
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
        self._state = TUNNEL
        self.deadline = NEVER

    def half_close(self) -> None:
        if self._state != CLOSED and self._transport.can_write_eof():
            self._transport.write_eof()

    def abort(self) -> None:
        """End at once; the user hears nothing more."""
        self.user = None
        self._end()

    def close_idle(self) -> None:
        """End an idle connection."""
        if self._state == IDLE:
            self._state = CLOSED
            self.deadline = NEVER
            if self._transport is not None:
                self._transport.close()

    # ---- transport callbacks --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == HEAD:
            self._read_head(data)
        elif state == TUNNEL:
            if self.user is not None:
                self.user.tunnel_bytes(data)
        elif state in {IDLE, CLOSED}:
            # Bytes that nobody asked for would be taken for the answer to the next request.
            self._end()
        else:
            self.deadline = self._loop.time() + self.activity_seconds
            self._read_body(data)

    def eof_received(self) -> bool:
        user = self.user
        if self._state == UNTIL_CLOSE:
            self.user = None
            self._end()
            if user is not None:
                user.response_body(b"", True)
        elif self._state == TUNNEL and user is not None:
            user.tunnel_ended()
            return True
        else:
            self._fail(self._lost_cause())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweeper.remove(self)
        self._hear_last_words()
        if self._state != CLOSED:
            cause = self._lost_cause()
            self._state = CLOSED
            self._tell_lost(cause)
        self._owner.connection_lost(self)

    def pause_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(False)

    def resume_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(True)

    def deadline_passed(self, now: float) -> None:
        if self._state == IDLE:
            self.close_idle()
        elif self._state == HEAD:
            self._fail(Cause.FIRST_BYTE_TIMEOUT)
        else:
            self._fail(Cause.UPSTREAM_STALLED)

    def _begin_answer(self) -> None:
        self.deadline = self._loop.time() + self.activity_seconds

    # ---- ending ---------------------------------------------------------------------------------

    def _release(self, user: Answering, is_clean: bool) -> None:
        """Back to the pool, unless the connection is owed bytes or has some too many."""
        self.user = None
        self._decoder = None
        if self._twin is not None:
            self._drop_twin()
        if not is_clean or self.closes or self._is_dying or not user.is_request_sent():
            self._end()
            return
        self._state = IDLE
        self.was_reused = True
        self.idle_since = self._loop.time()
        self.deadline = NEVER
        self._owner.connection_idle(self)

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
            while len(found) < MAX_LAST_WORDS_BYTES:
                piece = twin.recv(65_536)
                if not piece:
                    break
                found += piece
        if found and self._state in {HEAD, FIXED, CHUNKED, UNTIL_CLOSE}:
            self.data_received(found)
        self._drop_twin()

    def _drop_twin(self) -> None:
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.close()

    def _lost_cause(self) -> Cause:
        return Cause.UPSTREAM_RESET if self._state == HEAD else Cause.UPSTREAM_TRUNCATED

    def _fail(self, cause: Cause) -> None:
        self._end()
        self._tell_lost(cause)

    def _tell_lost(self, cause: Cause) -> None:
        user, self.user = self.user, None
        if user is not None:
            user.upstream_lost(cause)

    def _end(self) -> None:
        if self._state != CLOSED:
            self._state = CLOSED
            self.deadline = NEVER
            self._drop_twin()
            self._transport.abort()
