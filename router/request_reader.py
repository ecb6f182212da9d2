"""Finds where a client's requests begin and end and hands them on, one at a time; knows no transport."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from router.chunked import ChunkError
from router.client_limits import SMALL_HEAD_BYTES, ClientLimits, too_large_body, too_large_head
from router.exchange import Exchange
from router.failure import Cause, Refusal, malformed
from router.header_block import HeaderBlocks
from router.request_body import RequestBody
from router.request_head import RequestHead, read_request_head
from router.seams import ClientLink

#: Bytes of further requests that are kept while one is being answered; then reading stops.
MAX_PIPELINED_BYTES: Final = 64 * 1024

IDLE: Final = 0  # between two requests
HEAD: Final = 1  # a part of a head has come
BODY: Final = 2
WAIT: Final = 3  # the request is whole, its answer is not
TUNNEL: Final = 4
LINGER: Final = 5
CLOSED: Final = 6


class RequestReader(ClientLink):
    """State of the request side of one connection."""

    def __init__(self, limits: ClientLimits, blocks: HeaderBlocks) -> None:
        self._limits = limits
        self._blocks = blocks
        self._buffer = b""
        self._phase = IDLE
        self._body: RequestBody | None = None
        self._is_serving = False
        self.address = ""
        self.exchange: Exchange | None = None

    @abstractmethod
    def _now(self) -> float:
        """The loop's clock."""

    @abstractmethod
    def _begin_exchange(self, head: RequestHead) -> Exchange:
        """A new request; the exchange may already be finished when this returns."""

    @abstractmethod
    def _refuse_head(self, refusal: Refusal, method: str) -> None:
        """These bytes are no request, so nothing behind them is: answer and close."""

    @abstractmethod
    def _phase_changed(self) -> None:
        """A head or a body has begun, gone on or ended: other deadlines count."""

    @abstractmethod
    def _pause(self) -> None:
        """Read no more for now."""

    @abstractmethod
    def _close_now(self) -> None:
        """End without another word."""

    def _serve(self, data: bytes) -> None:
        """Take one request after the other while there are whole heads and nothing in the way."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self._is_serving = True
        while data and self.exchange is None and self._phase <= HEAD:
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
            elif self._phase == BODY and data:
                data = self._take_body(data)
        self._is_serving = False
        if data and self._phase == WAIT:
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
        if self._phase == IDLE:
            self._phase = HEAD
            self._phase_changed()

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
        if head.has_body:
            self._phase = BODY
            self._body = RequestBody(
                head.content_length, is_chunked=head.is_chunked, started=self._now()
            )
        else:
            self._phase = WAIT
        exchange = self._begin_exchange(head)
        if not exchange.is_finished:
            self.exchange = exchange
            self._phase_changed()
        return True

    def _take_body(self, data: bytes) -> bytes:
        """Pass the payload on; the bytes behind the body."""
        body, exchange = self._body, self.exchange
        if body is None:
            return data
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
            self._phase = WAIT if exchange is not None else IDLE
        if exchange is not None and (data or done):
            exchange.request_body(data, done)
        self._phase_changed()
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
