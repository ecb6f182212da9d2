"""A light HTTP/1.1 keep-alive client for generating load; knows no API and never retries."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import httptools

REQUEST_SECONDS = 15.0


class RequestFailedError(Exception):
    """A request got no whole answer; `reason` is one of a few fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Answer:
    """Status, headers in lower case (the last of a name wins) and whole body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class _Connection(asyncio.Protocol):
    """One connection with at most one request on it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_usable = False
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._chunks: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.is_usable = True

    def connection_lost(self, error: Exception | None) -> None:
        self.is_usable = False
        self._fail("connection reset" if error else "connection closed before the whole answer")

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self._close()  # bytes that nobody asked for
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("malformed answer")
            self._close()

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        """Write a whole request; the future has the answer or RequestFailedError."""
        self._answer = Answer()
        self._chunks = []
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = asyncio.get_running_loop().create_future()
        if self.transport is not None:
            self.transport.write(request)
        return self._waiter

    # ---- httptools callbacks ------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        parser, self._parser = self._parser, None
        if parser is None:
            return
        self._answer.status = parser.get_status_code()
        self._answer.body = b"".join(self._chunks)
        if not parser.should_keep_alive():
            self._close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._answer)

    def abandon(self) -> None:
        """Give up the request under way and the connection with it."""
        self._close()

    def _fail(self, reason: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(RequestFailedError(reason))

    def _close(self) -> None:
        self.is_usable = False
        if self.transport is not None:
            self.transport.close()


class KeepAliveClient:
    """One client with one connection, opened again when the server closed it in between."""

    def __init__(self, host: str, port: int, *, source: str | None = None) -> None:
        """`source` is the local address to connect from; any of 127.0.0.0/8 works on Linux."""
        self._host = host
        self._port = port
        self._source = (source, 0) if source else None
        self._connection: _Connection | None = None
        self.connects = 0

    async def request(
        self, method: str, target: str, headers: dict[str, str], body: bytes = b""
    ) -> Answer:
        """Send one request and wait for the whole answer; raises RequestFailedError, never retries."""
        lines = [f"{method} {target} HTTP/1.1", f"host: {self._host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {len(body)}")
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        connection = await self._usable_connection()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await connection.send(data)
        except TimeoutError as error:
            connection.abandon()
            raise RequestFailedError("no whole answer in time") from error
        except asyncio.CancelledError:
            connection.abandon()
            raise

    async def _usable_connection(self) -> _Connection:
        if self._connection is None or not self._connection.is_usable:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    _, self._connection = await loop.create_connection(
                        _Connection, self._host, self._port, local_addr=self._source
                    )
            except (OSError, TimeoutError) as error:
                raise RequestFailedError("connection refused") from error
            self.connects += 1
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None
