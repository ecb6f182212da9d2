"""pika's AsyncioConnection as awaitables: every wait has a deadline and ends when the link is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 10.0
HEARTBEAT_SECONDS = 30
CLOSE_SECONDS = 5.0


class LinkLostError(ConnectionError):
    """The broker is away or has closed the channel; nothing that waited for it is known."""


class Link:
    """One connection with one channel."""

    def __init__(self, connection: AsyncioConnection, channel: Any) -> None:
        self._connection = connection
        self.channel = channel
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()  # the socket is gone as well
        self.blocked = False
        channel.add_on_close_callback(lambda _channel, reason: self._lose(reason))
        connection.add_on_close_callback(lambda _connection, reason: self._end(reason))
        connection.add_on_connection_blocked_callback(lambda *_: self._block(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._block(False))

    def _lose(self, _reason: object) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def _end(self, reason: object) -> None:
        self._lose(reason)
        if not self._ended.done():
            self._ended.set_result(None)

    def _block(self, blocked: bool) -> None:
        self.blocked = blocked

    async def ask(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Call a channel method that answers by callback."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(frame: Any) -> None:
            if not answer.done():
                answer.set_result(frame)

        try:
            method(callback=settle, **arguments)
        except pika.exceptions.AMQPError as error:
            raise LinkLostError(str(error)) from error
        await asyncio.wait(
            {answer, self.lost}, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not answer.done():
            answer.cancel()
            raise LinkLostError("no answer from the broker")
        return answer.result()

    async def close(self) -> None:
        """Close channel and connection, and wait until the socket is closed too."""
        if self._connection.is_closed:
            return
        if not self._connection.is_closing:
            self._connection.close()
        await asyncio.wait({self._ended}, timeout=CLOSE_SECONDS)


async def open_link(url: str, name: str) -> Link:
    """Connect and open a channel; raises LinkLostError."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Any] = loop.create_future()
    parameters = pika.URLParameters(url)
    parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.client_properties = {"connection_name": name}
    parameters.socket_timeout = CONNECT_SECONDS
    parameters.stack_timeout = CONNECT_SECONDS

    def settle(value: Any) -> None:
        if not opened.done():
            opened.set_result(value)

    connection = AsyncioConnection(
        parameters,
        on_open_callback=lambda made: made.channel(on_open_callback=settle),
        on_open_error_callback=lambda _made, _error: settle(None),
        on_close_callback=lambda _made, _reason: settle(None),
        custom_ioloop=loop,
    )
    await asyncio.wait({opened}, timeout=CONNECT_SECONDS)
    channel = opened.result() if opened.done() else None
    if channel is None:
        opened.cancel()
        if connection.is_open:
            connection.close()
        raise LinkLostError("cannot connect to the broker")
    return Link(connection, channel)
