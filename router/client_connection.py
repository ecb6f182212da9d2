"""One client's connection: finds where requests begin and end, and writes answers; knows no routes."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final, Protocol

from router.chunked import ChunkError
from router.client_limits import (
    SMALL_HEAD_BYTES,
    ClientLimits,
    too_large_body,
    too_large_head,
    too_slow,
)
from router.exchange import Exchange
from router.failure import Cause, Refusal, malformed
from router.header_block import HeaderBlocks
from router.request_body import RequestBody
from router.request_head import RequestHead, read_request_head
from router.sweeper import NEVER, Sweeper

#: Bytes of further requests that are kept while one is being answered; then reading stops.
MAX_PIPELINED_BYTES = 64 * 1024
#: A client that asked for `100 Continue` hears it from the router when the app says nothing for this
#: long, in seconds (curl waits as long).
CONTINUE_SECONDS = 1.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: After the last answer, unread bytes are thrown away for this long, so that the answer is not lost
#: to a reset (RFC 9112 section 9.6), in seconds.
LINGER_SECONDS = 2.0
MAX_LINGER_BYTES = 16 * 1024 * 1024

_IDLE: Final = 0  # between two requests
_HEAD: Final = 1  # a part of a head has come
_BODY: Final = 2
_WAIT: Final = 3  # the request is whole, its answer is not
_TUNNEL: Final = 4
_LINGER: Final = 5
_CLOSED: Final = 6


class RequestHandler(Protocol):
    """What a connection needs of the rest of the router."""

    limits: ClientLimits
    is_draining: bool

    def blocks_for(self, address: str) -> HeaderBlocks:
        """The reader of field lines for clients at this address."""

    def begin(self, client: ClientConnection, head: RequestHead) -> Exchange:
        """A new request; the exchange may already be finished when this returns."""

    def refused_head(self, client: ClientConnection, refusal: Refusal, method: str) -> bytes:
        """The bytes that answer a head that could not be read; counts it."""

    def client_opened(self, client: ClientConnection) -> None: ...

    def client_closed(self, client: ClientConnection) -> None: ...


class ClientConnection:
    """Serves one request after the other; bytes of the next ones wait in a bounded buffer.

    An asyncio protocol by its methods; it has no asyncio base class, so that it can be compiled.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sweeper: Sweeper, handler: RequestHandler
    ) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._handler = handler
        self._limits = handler.limits
        self._blocks = handler.blocks_for("")
        self._transport: Any = None
        self._buffer = b""
        self._phase = _IDLE
        self._body: RequestBody | None = None
        self._awaits_continue = False
        self._is_paused = False
        self._is_serving = False
        self._saw_eof = False
        self._lingered = 0
        self.address = ""
        self.deadline = NEVER
        self.exchange: Exchange | None = None

    # ---- transport callbacks ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) and peer else "127.0.0.1"
        self._blocks = self._handler.blocks_for(self.address)
        self.deadline = self._loop.time() + self._limits.header_seconds
        self._sweeper.add(self)
        self._handler.client_opened(self)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase <= _HEAD:
            if self._buffer:
                data = self._buffer + data
                self._buffer = b""
            self._serve(data)
        elif phase == _BODY:
            rest = self._take_body(data)
            if rest and self._phase == _IDLE:
                self._serve(rest)
            elif rest:
                self._keep(rest)
        elif phase == _TUNNEL:
            if self.exchange is not None:
                self.exchange.client_tunnel_bytes(data)
        elif phase == _LINGER:
            self._lingered += len(data)
            if self._lingered > MAX_LINGER_BYTES:
                self._close_now()
        else:
            self._keep(data)

    def eof_received(self) -> bool:
        """A closed sending half is no farewell: the answer is still awaited (RFC 9112 section 9.6)."""
        self._saw_eof = True
        exchange = self.exchange
        if self._phase == _WAIT:
            return True
        if self._phase == _TUNNEL and exchange is not None:
            exchange.client_tunnel_ended()
            return True
        if self._phase == _BODY and exchange is not None:
            exchange.client_gone(Cause.CLIENT_GONE)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _CLOSED
        self._sweeper.remove(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone(Cause.CLIENT_GONE)
        self._handler.client_closed(self)

    def pause_writing(self) -> None:
        self.deadline = self._loop.time() + self._limits.write_seconds
        if self.exchange is not None:
            self.exchange.client_writable(False)

    def resume_writing(self) -> None:
        self._set_deadline()
        if self.exchange is not None:
            self.exchange.client_writable(True)

    def deadline_passed(self, now: float) -> None:
        self.deadline = NEVER
        exchange = self.exchange
        if self._phase == _HEAD:
            self._refuse_head(too_slow("head", Cause.HEAD_TIMEOUT), "GET")
        elif self._awaits_continue:
            self._awaits_continue = False
            self.write(CONTINUE)
            self._set_deadline()
        elif self._phase == _BODY and exchange is not None and not exchange.has_answer:
            exchange.refuse(too_slow("body", Cause.BODY_TIMEOUT))
        else:
            if exchange is not None:
                exchange.client_gone(Cause.CLIENT_STALLED)
            self._close_now()

    # ---- heads ------------------------------------------------------------------------------------

    def _serve(self, data: bytes) -> None:
        """Take one request after the other while there are whole heads and nothing in the way."""
        self._is_serving = True
        while data and self.exchange is None and self._phase <= _HEAD:
            while data[:2] == b"\r\n":
                data = data[2:]
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._await_head(data)
                data = b""
                break
            raw = data if end + 4 == len(data) else data[: end + 4]
            data = data[end + 4 :]
            if not self._begin(raw):
                data = b""
            elif self._phase == _BODY and data:
                data = self._take_body(data)
        self._is_serving = False
        if data and self._phase == _WAIT:
            self._keep(data)

    def _await_head(self, data: bytes) -> None:
        """Keep a part of a head; its deadline runs from its first byte."""
        if not data:
            return
        refusal = too_large_head(data, data.find(b"\r\n"), self._limits)
        if refusal is not None:
            self._refuse_head(refusal, "GET")
            return
        self._buffer = data
        if self._phase == _IDLE:
            self._phase = _HEAD
            self.deadline = self._loop.time() + self._limits.header_seconds

    def _begin(self, raw: bytes) -> bool:
        """Read one head and hand it on; False when the connection ends with it."""
        line_end = raw.find(b"\r\n")
        refusal = (
            too_large_head(raw, line_end, self._limits) if len(raw) > SMALL_HEAD_BYTES else None
        )
        if refusal is None:
            try:
                head = read_request_head(raw, line_end, self._blocks, self.address)
            except Refusal as error:
                refusal = error
        if refusal is not None:
            self._refuse_head(refusal, "HEAD" if raw[:5] == b"HEAD " else "GET")
            return False
        self.deadline = NEVER
        if head.has_body:
            self._phase = _BODY
            self._body = RequestBody(
                head.content_length, is_chunked=head.is_chunked, started=self._loop.time()
            )
        else:
            self._phase = _WAIT
        exchange = self._handler.begin(self, head)
        if not exchange.is_finished:
            self.exchange = exchange
            if head.has_body:
                self._awaits_continue = head.expects_continue
                self._set_deadline()
        return True

    def _refuse_head(self, refusal: Refusal, method: str) -> None:
        """No request can be told from these bytes, so nothing behind them can either: answer and close."""
        self._buffer = b""
        self.write(self._handler.refused_head(self, refusal, method))
        self._linger()

    # ---- bodies -----------------------------------------------------------------------------------

    def _take_body(self, data: bytes) -> bytes:
        """Pass the payload on; the bytes behind the body."""
        body, exchange = self._body, self.exchange
        if body is None:
            return data
        self._awaits_continue = False
        try:
            data = body.take(data)
        except ChunkError as error:
            self._broken_body(str(error))
            return b""
        if exchange is not None and body.received > exchange.route.max_body_bytes:
            exchange.refuse(too_large_body(exchange.route.max_body_bytes))
            return b""
        done = body.is_complete
        if done:
            self._body = None
            self._phase = _WAIT if exchange is not None else _IDLE
            self.deadline = NEVER
        if exchange is not None and (data or done):
            exchange.request_body(data, done)
        if self._phase == _BODY or self._phase == _IDLE:
            self._set_deadline()
        return body.rest

    def _broken_body(self, reason: str) -> None:
        exchange = self.exchange
        if exchange is not None and not exchange.has_answer:
            exchange.refuse(malformed(reason, cause=Cause.BAD_BODY))
            return
        if exchange is not None:
            exchange.client_gone(Cause.BAD_BODY)
        self._close_now()

    def _keep(self, data: bytes) -> None:
        """Bytes of the next request wait."""
        self._buffer += data
        if len(self._buffer) > MAX_PIPELINED_BYTES:
            self._pause()

    # ---- what an exchange asks for ----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._phase != _CLOSED:
            self._transport.write(data)

    def keeps_alive(self) -> bool:
        return not self._handler.is_draining

    def continued(self) -> None:
        """The app has sent `100 Continue` itself."""
        self._awaits_continue = False
        self._set_deadline()

    def pause_body(self) -> None:
        if self._phase == _BODY or self._phase == _TUNNEL:
            self._pause()
            self.deadline = NEVER

    def resume_body(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
            self._set_deadline()

    def start_tunnel(self) -> None:
        """From now on bytes pass as they are, also those that were sent too early."""
        self._phase = _TUNNEL
        self.deadline = NEVER
        data, self._buffer = self._buffer, b""
        if data and self.exchange is not None:
            self.exchange.client_tunnel_bytes(data)
        self.resume_body()

    def half_close(self) -> None:
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def close_within(self, seconds: float) -> None:
        self.deadline = self._loop.time() + seconds

    def exchange_done(self, keep: bool) -> None:
        """The answer is written; go on with the next request, or close when the peer has read it."""
        self.exchange = None
        if not keep:
            self._linger()
            return
        if self._phase == _BODY:
            # A refused request whose small body is still on its way: read it to its end first.
            self._set_deadline()
            self.resume_body()
            return
        self._phase = _IDLE
        self.deadline = self._loop.time() + self._limits.idle_seconds
        if self._is_paused:
            self.resume_body()
        if self._is_serving:
            return
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._serve(data)
        if self._saw_eof and self.exchange is None and self._phase <= _HEAD:
            # The client sends nothing more, and everything it sent is answered.
            self._phase = _LINGER
            self._transport.close()

    def cut(self, *, with_reset: bool) -> None:
        self.exchange = None
        if with_reset:
            self.reset()
        else:
            self._phase = _LINGER
            self._transport.close()

    # ---- closing ----------------------------------------------------------------------------------

    def reset(self) -> None:
        """End with a TCP reset: the one sign that a client without framing can see."""
        handle = self._transport.get_extra_info("socket")
        if handle is not None and not self._transport.is_closing():
            with socket.fromfd(handle.fileno(), handle.family, handle.type) as twin:
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close_now()

    def close_if_idle(self) -> None:
        """Part from a client that has no request under way."""
        if self._phase == _IDLE:
            self._close_now()

    def _linger(self) -> None:
        """Deliver what was written, close our half, and read on for a moment."""
        self.exchange = None
        self._buffer = b""
        self._awaits_continue = False
        if self._saw_eof or self._phase == _WAIT or self._phase == _TUNNEL:
            self._phase = _LINGER
            self._transport.close()
            return
        self._phase = _LINGER
        self.resume_body()
        is_written = self._transport.get_write_buffer_size() == 0
        wait = LINGER_SECONDS if is_written else self._limits.write_seconds
        self.deadline = self._loop.time() + wait
        self.half_close()

    def _close_now(self) -> None:
        self._phase = _CLOSED
        self.deadline = NEVER
        self._transport.abort()

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _set_deadline(self) -> None:
        now = self._loop.time()
        if self._awaits_continue:
            self.deadline = now + CONTINUE_SECONDS
        elif self._phase == _BODY and self._body is not None and not self._is_paused:
            self.deadline = self._body.deadline(now, self._limits.body_seconds)
        elif self._phase == _IDLE:
            self.deadline = now + self._limits.idle_seconds
        else:
            self.deadline = NEVER
