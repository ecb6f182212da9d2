"""One client's connection: its transport, its deadlines, its end; knows no routes."""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import abstractmethod
from typing import Any, Final

from router.client_limits import ClientLimits, too_many_clients, too_slow
from router.exchange import Exchange
from router.failure import Cause, Refusal
from router.header_block import HeaderBlocks
from router.request_head import RequestHead
from router.request_reader import BODY, CLOSED, HEAD, IDLE, LINGER, TUNNEL, WAIT, RequestReader
from router.seams import ExchangeOwner
from router.sweeper import NEVER, Sweeper

#: A client that asked for `100 Continue` hears it from the router when the app says nothing for this
#: long, in seconds (curl waits as long).
CONTINUE_SECONDS: Final = 1.0
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
#: After the last answer, unread bytes are thrown away for this long, so that the answer is not lost
#: to a reset (RFC 9112 section 9.6), in seconds.
LINGER_SECONDS: Final = 2.0
MAX_LINGER_BYTES: Final = 16 * 1024 * 1024


class RequestHandler(ExchangeOwner):
    """What a connection needs of the rest of the router."""

    limits: ClientLimits
    is_draining: bool

    @abstractmethod
    def blocks_for(self, address: str) -> HeaderBlocks:
        """The reader of field lines for clients at this address."""

    @abstractmethod
    def begin(self, client: ClientConnection, head: RequestHead) -> Exchange:
        """A new request; the exchange may already be finished when this returns."""

    @abstractmethod
    def refused_head(self, client: ClientConnection, refusal: Refusal, method: str) -> bytes:
        """The bytes that answer a head that could not be read; counts it."""

    @abstractmethod
    def client_opened(self, client: ClientConnection) -> bool:
        """Whether there is room for one more client."""

    @abstractmethod
    def client_closed(self, client: ClientConnection) -> None: ...


class ClientConnection(RequestReader):
    """Serves one request after the other; bytes of the next ones wait in a bounded buffer.

    An asyncio protocol by its methods; it has no asyncio base class, so that it can be compiled.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sweeper: Sweeper, handler: RequestHandler
    ) -> None:
        super().__init__(handler.limits, handler.blocks_for(""))
        self._loop = loop
        self._sweeper = sweeper
        self._handler = handler
        self._transport: Any = None
        self._awaits_continue = False
        self._is_paused = False
        self._paused_at = 0.0
        self._saw_eof = False
        self._lingered = 0
        self.deadline = NEVER

    # ---- transport callbacks ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) and peer else "127.0.0.1"
        self._blocks = self._handler.blocks_for(self.address)
        self.deadline = self._loop.time() + self._limits.header_seconds
        self._sweeper.add(self)
        if not self._handler.client_opened(self):
            self._refuse_head(too_many_clients(), "GET")

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase <= HEAD:
            self._serve(data)
        elif phase == BODY:
            self._awaits_continue = False
            rest = self._take_body(data)
            if rest and self._phase == IDLE:
                self._serve(rest)
            elif rest:
                self._keep(rest)
        elif phase == TUNNEL:
            if self.exchange is not None:
                self.exchange.client_tunnel_bytes(data)
        elif phase == LINGER:
            self._lingered += len(data)
            if self._lingered > MAX_LINGER_BYTES:
                self._close_now()
        else:
            self._keep(data)

    def eof_received(self) -> bool:
        """A closed sending half is no farewell: the answer is still awaited (RFC 9112 section 9.6)."""
        self._saw_eof = True
        exchange = self.exchange
        if self._phase == WAIT:
            return True
        if self._phase == TUNNEL and exchange is not None:
            exchange.client_tunnel_ended()
            return True
        if self._phase == BODY and exchange is not None:
            exchange.client_gone(Cause.CLIENT_GONE)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = CLOSED
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
        self._phase_changed()
        if self.exchange is not None:
            self.exchange.client_writable(True)

    def deadline_passed(self, now: float) -> None:
        self.deadline = NEVER
        exchange = self.exchange
        if self._phase == HEAD:
            self._refuse_head(too_slow("head", Cause.HEAD_TIMEOUT), "GET")
        elif self._awaits_continue:
            self._awaits_continue = False
            self.write(CONTINUE)
            self._phase_changed()
        elif self._phase == BODY and exchange is not None and not exchange.has_answer:
            exchange.refuse(too_slow("body", Cause.BODY_TIMEOUT))
        else:
            if exchange is not None:
                exchange.client_gone(Cause.CLIENT_STALLED)
            self._close_now()

    # ---- what the reader asks for -----------------------------------------------------------------

    def _now(self) -> float:
        return self._loop.time()

    def _begin_exchange(self, head: RequestHead) -> Exchange:
        self._awaits_continue = head.expects_continue and head.has_body
        return self._handler.begin(self, head)

    def _refuse_head(self, refusal: Refusal, method: str) -> None:
        self._buffer = b""
        self.write(self._handler.refused_head(self, refusal, method))
        self._linger()

    def _phase_changed(self) -> None:
        phase = self._phase
        if phase == WAIT or phase >= TUNNEL:
            self.deadline = NEVER
            return
        now = self._loop.time()
        if self._awaits_continue:
            self.deadline = now + CONTINUE_SECONDS
        elif phase == BODY:
            body = None if self._is_paused else self._body
            self.deadline = (
                body.deadline(now, self._limits.body_seconds) if body is not None else NEVER
            )
        elif phase == HEAD:
            self.deadline = now + self._limits.header_seconds
        else:
            self.deadline = now + self._limits.idle_seconds

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._paused_at = self._loop.time()
            self._transport.pause_reading()

    # ---- what an exchange asks for ----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._phase != CLOSED:
            self._transport.write(data)

    def keeps_alive(self) -> bool:
        return not self._handler.is_draining

    def continued(self) -> None:
        """The app has sent `100 Continue` itself."""
        self._awaits_continue = False
        self._phase_changed()

    def pause_body(self) -> None:
        if self._phase == BODY or self._phase == TUNNEL:
            self._pause()
            self.deadline = NEVER

    def resume_body(self) -> None:
        if not self._is_paused:
            return
        self._is_paused = False
        if self._body is not None:
            self._body.excuse(self._loop.time() - self._paused_at)
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._phase_changed()

    def start_tunnel(self) -> None:
        """From now on bytes pass as they are, also those that were sent too early."""
        self._phase = TUNNEL
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
        if self._phase != BODY:
            self._phase = IDLE
        # Else a refused request whose small body is still on its way: read it to its end first.
        self._phase_changed()
        if self._is_paused:
            self.resume_body()
        if self._is_serving or self._phase != IDLE:
            return
        if self._buffer:
            self._serve(b"")
        if self._saw_eof and self._is_answered():
            # The client sends nothing more, and everything it sent is answered.
            self._phase = LINGER
            self._transport.close()

    def _is_answered(self) -> bool:
        """Asked in a method: a checker that saw `exchange` cleared would take it for None for ever."""
        return self.exchange is None and self._phase <= HEAD

    def cut(self, *, with_reset: bool) -> None:
        self.exchange = None
        if with_reset:
            self.reset()
        else:
            self._phase = LINGER
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
        if self._phase == IDLE:
            self._close_now()

    def _linger(self) -> None:
        """Deliver what was written, close our half, and read on for a moment."""
        self.exchange = None
        self._buffer = b""
        self._awaits_continue = False
        if self._saw_eof or self._phase == WAIT or self._phase == TUNNEL:
            self._phase = LINGER
            self._transport.close()
            return
        self._phase = LINGER
        self.resume_body()
        is_written = self._transport.get_write_buffer_size() == 0
        wait = LINGER_SECONDS if is_written else self._limits.write_seconds
        self.deadline = self._loop.time() + wait
        self.half_close()

    def _close_now(self) -> None:
        self._phase = CLOSED
        self.deadline = NEVER
        self._transport.abort()
