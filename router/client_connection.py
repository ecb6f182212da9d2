"""One client's connection: finds where requests begin and end, and writes answers; knows no routes."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Any, Protocol

from router.chunked import ChunkDecoder, ChunkError
from router.exchange import Exchange
from router.failure import Cause, Refusal, malformed
from router.header_block import HeaderBlocks
from router.request_head import RequestHead, read_request_head
from router.sweeper import NEVER, Sweeper
from shared.errors import Code

#: Bytes of further requests that are kept while one is being answered; then reading stops.
MAX_PIPELINED_BYTES = 64 * 1024
#: A client that sends a body must keep this rate on average after the first wait, in bytes a second
#: (Apache's RequestReadTimeout has the same number).
MIN_BODY_RATE = 500
#: A client that asked for `100 Continue` hears it from the router when the app says nothing for this
#: long, in seconds (curl waits as long).
CONTINUE_SECONDS = 1.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: After the last answer, unread bytes are thrown away for this long, so that the answer is not lost
#: to a reset (RFC 9112 section 9.6), in seconds.
LINGER_SECONDS = 2.0
MAX_LINGER_BYTES = 16 * 1024 * 1024

#: A head up to this size is within every limit that can be configured (four bytes are the least line).
SMALL_HEAD = 800

_IDLE, _HEAD, _BODY, _WAIT, _TUNNEL, _LINGER, _CLOSED = range(7)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Sizes in bytes and waiting times in seconds."""

    max_head_bytes: int = 32_768
    max_url_bytes: int = 8_192
    max_fields: int = 200
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    write_seconds: float = 60.0


class RequestHandler(Protocol):
    """What a connection needs of the rest of the router."""

    limits: ClientLimits
    is_draining: bool

    def blocks_for(self, address: str) -> HeaderBlocks:
        """The reader of field lines for clients at this address."""

    def begin(self, client: ClientConnection, head: RequestHead) -> Exchange:
        """A new request; the exchange may already be finished when this returns."""

    def max_body_bytes(self, exchange: Exchange) -> int: ...

    def refused_head(self, client: ClientConnection, refusal: Refusal, method: str) -> bytes:
        """The bytes that answer a head that could not be read; counts it."""

    def client_opened(self, client: ClientConnection) -> None: ...

    def client_closed(self, client: ClientConnection) -> None: ...


class ClientConnection(asyncio.Protocol):
    """Serves one request after the other; bytes of the next ones wait in a bounded buffer."""

    __slots__ = (
        "_awaits_continue", "_blocks", "_body_left", "_body_received", "_body_started", "_buffer",
        "_decoder", "_handler",
        "_is_paused", "_is_serving", "_loop", "_max_body", "_phase", "_saw_eof", "_sweeper",
        "_transport", "address", "deadline", "exchange", "served",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sweeper: Sweeper, handler: RequestHandler
    ) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._handler = handler
        self._transport: Any = None
        self._buffer = b""
        self._phase = _IDLE
        self._body_left = 0  # -1: chunked
        self._body_received = 0
        self._body_started = 0.0
        self._max_body = 0
        self._decoder: ChunkDecoder | None = None
        self._awaits_continue = False
        self._is_paused = False
        self._is_serving = False
        self._saw_eof = False
        self.address = ""
        self._blocks = handler.blocks_for("")
        self.deadline = NEVER
        self.exchange: Exchange | None = None
        self.served = 0

    # ---- transport callbacks ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) and peer else "127.0.0.1"
        self._blocks = self._handler.blocks_for(self.address)
        self.deadline = self._loop.time() + self._handler.limits.header_seconds
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
            self._body_received += len(data)
            if self._body_received > MAX_LINGER_BYTES:
                self._close_now()
        else:
            self._keep(data)

    def eof_received(self) -> bool:
        """A closed sending half is no farewell: the answer is still awaited (RFC 9112 section 9.6)."""
        self._saw_eof = True
        if self._phase == _WAIT:
            return True
        if self._phase == _TUNNEL and self.exchange is not None:
            self.exchange.client_tunnel_ended()
            return True
        if self._phase == _BODY and self.exchange is not None:
            self.exchange.client_gone(Cause.CLIENT_GONE)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _CLOSED
        self._sweeper.remove(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone(Cause.CLIENT_GONE)
        self._handler.client_closed(self)

    def pause_writing(self) -> None:
        self.deadline = self._loop.time() + self._handler.limits.write_seconds
        if self.exchange is not None:
            self.exchange.client_writable(False)

    def resume_writing(self) -> None:
        self._set_deadline()
        if self.exchange is not None:
            self.exchange.client_writable(True)

    def deadline_passed(self, now: float) -> None:
        self.deadline = NEVER
        if self._phase == _HEAD:
            self._refuse_head(
                malformed("the request head took too long", status=408, cause=Cause.HEAD_TIMEOUT)
            )
        elif self._awaits_continue:
            self._awaits_continue = False
            self.write(CONTINUE)
            self._set_deadline()
        elif self._phase == _BODY and self.exchange is not None and not self.exchange.has_answer:
            refusal = malformed(
                "the request body took too long", status=408, cause=Cause.BODY_TIMEOUT
            )
            self.exchange.refuse(refusal)
        elif self.exchange is not None:
            self.exchange.client_gone(Cause.CLIENT_STALLED)
            self._close_now()
        else:
            self._close_now()

    # ---- heads ------------------------------------------------------------------------------------

    def _serve(self, data: bytes) -> None:
        """Take one request after the other while there are whole heads and nothing in the way."""
        self._is_serving = True
        while data and self.exchange is None and self._phase in {_IDLE, _HEAD}:
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
        limits = self._handler.limits
        refusal = _too_large(data, data.find(b"\r\n"), limits)
        if refusal is not None:
            self._refuse_head(refusal)
            return
        self._buffer = data
        if self._phase == _IDLE:
            self._phase = _HEAD
            self.deadline = self._loop.time() + limits.header_seconds

    def _begin(self, raw: bytes) -> bool:
        line_end = raw.find(b"\r\n")
        refusal = _too_large(raw, line_end, self._handler.limits) if len(raw) > SMALL_HEAD else None
        if refusal is None:
            try:
                head = read_request_head(raw, line_end, self._blocks, self.address)
            except Refusal as error:
                refusal = error
        if refusal is not None:
            self._refuse_head(refusal, raw[:5] == b"HEAD ")
            return False
        self.served += 1
        self._body_left = -1 if head.is_chunked else max(head.content_length, 0)
        if self._body_left:
            self._phase = _BODY
            self._decoder = ChunkDecoder() if head.is_chunked else None
            self._body_received = 0
            self._body_started = self._loop.time()
        else:
            self._phase = _WAIT
        self.deadline = NEVER
        exchange = self._handler.begin(self, head)
        if not exchange.is_finished:
            self.exchange = exchange
            if self._body_left:
                self._max_body = self._handler.max_body_bytes(exchange)
                self._awaits_continue = head.expects_continue
                self._set_deadline()
        return True

    def _refuse_head(self, refusal: Refusal, is_head: bool = False) -> None:
        """No request can be told from these bytes, so nothing behind them can either: answer and close."""
        self._buffer = b""
        self.write(self._handler.refused_head(self, refusal, "HEAD" if is_head else "GET"))
        self._linger()

    # ---- bodies -----------------------------------------------------------------------------------

    def _take_body(self, data: bytes) -> bytes:
        """Pass the payload on; the bytes behind the body."""
        self._awaits_continue = False
        exchange = self.exchange
        if self._body_left > 0:
            rest = data[self._body_left :]
            if rest:
                data = data[: self._body_left]
            self._body_left -= len(data)
            self._body_received += len(data)
            done = self._body_left == 0
        else:
            decoder = self._decoder
            assert decoder is not None  # noqa: S101 - a chunked body has one
            try:
                data = decoder.feed(data)
            except ChunkError as error:
                self._broken_body(str(error))
                return b""
            self._body_received += len(data)
            done, rest = decoder.done, decoder.rest
            if self._body_received > self._max_body and exchange is not None:
                exchange.refuse(too_large_body(self._max_body))
                return b""
        if done:
            self._body_left = 0
            self._decoder = None
            self._phase = _WAIT
            self.deadline = NEVER
        if exchange is not None:
            if data or done:
                exchange.request_body(data, done)
        elif done:
            self._phase = _IDLE
        if self._phase in {_BODY, _IDLE}:
            self._set_deadline()
        return rest

    def _broken_body(self, reason: str) -> None:
        exchange = self.exchange
        if exchange is not None and not exchange.has_answer:
            exchange.refuse(malformed(reason, cause=Cause.BAD_BODY))
        elif exchange is not None:
            exchange.client_gone(Cause.BAD_BODY)
            self._close_now()
        else:
            self._close_now()

    def _keep(self, data: bytes) -> None:
        """Bytes of the next request wait."""
        self._buffer += data
        if len(self._buffer) > MAX_PIPELINED_BYTES:
            self._pause()

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

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
        if self._phase in {_BODY, _TUNNEL}:
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
        self.deadline = self._loop.time() + self._handler.limits.idle_seconds
        self.resume_body()
        if self._is_serving:
            return
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._serve(data)
        self._close_after_eof()

    def _close_after_eof(self) -> None:
        """The client sends nothing more, and everything it sent is answered."""
        if self._saw_eof and self.exchange is None and self._phase <= _HEAD:
            self._phase = _LINGER
            self._transport.close()

    def cut(self, *, with_reset: bool) -> None:
        self.exchange = None
        if with_reset:
            self.reset()
        else:
            self._phase = _LINGER
            self._transport.close()

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

    # ---- closing ----------------------------------------------------------------------------------

    def _linger(self) -> None:
        """Deliver what was written, close our half, and read on for a moment."""
        self.exchange = None
        self._buffer = b""
        self._awaits_continue = False
        if self._saw_eof or self._phase in {_WAIT, _TUNNEL}:
            self._phase = _LINGER
            self._transport.close()
            return
        self._phase = _LINGER
        self._body_received = 0
        self.resume_body()
        is_written = self._transport.get_write_buffer_size() == 0
        wait = LINGER_SECONDS if is_written else self._handler.limits.write_seconds
        self.deadline = self._loop.time() + wait
        self.half_close()

    def _close_now(self) -> None:
        self._phase = _CLOSED
        self.deadline = NEVER
        self._transport.abort()

    def _set_deadline(self) -> None:
        now = self._loop.time()
        limits = self._handler.limits
        if self._awaits_continue:
            self.deadline = now + CONTINUE_SECONDS
        elif self._phase == _BODY and not self._is_paused:
            earned = self._body_received / MIN_BODY_RATE
            self.deadline = min(
                now + limits.body_seconds, self._body_started + limits.body_seconds + earned
            )
        elif self._phase == _IDLE:
            self.deadline = now + limits.idle_seconds
        else:
            self.deadline = NEVER


def too_large_body(limit: int) -> Refusal:
    """413 with the limit that was passed."""
    return Refusal(
        Code.PAYLOAD_TOO_LARGE,
        "The request body is too large",
        Cause.BODY_TOO_LARGE,
        details={"limit_bytes": limit},
    )


def _too_large(data: bytes, line_end: int, limits: ClientLimits) -> Refusal | None:
    if (len(data) if line_end < 0 else line_end) > limits.max_url_bytes:
        return malformed("the request line is too long", status=414, cause=Cause.URL_TOO_LONG)
    if len(data) > limits.max_head_bytes or data.count(b"\r\n") > limits.max_fields + 2:
        return malformed("the request head is too large", status=431, cause=Cause.HEAD_TOO_LARGE)
    return None
