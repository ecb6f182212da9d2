"""One AMQP connection and its channels as awaitables; knows no queue and no message.

pika calls back; here every call back becomes a future, every wait has a deadline, and frames that
are written within one turn of the event loop leave in one system call (pika alone sends three per
message).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pika
import pika.channel
import pika.exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

from shared.events.errors import BrokerLostError, EventError


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Time limits of a connection, in seconds."""

    url: str
    name: str = "strangler"  # shown in the broker's list of connections
    heartbeat_seconds: int = 30
    connect_seconds: float = 10.0
    rpc_seconds: float = 10.0
    blocked_seconds: float = 300.0  # a publisher that is blocked for so long reconnects
    first_pause_seconds: float = 0.2  # before connecting again
    longest_pause_seconds: float = 5.0


class Connection(AsyncioConnection):  # type: ignore[misc]
    """pika's connection with coalesced writes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._waiting: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        super().__init__(*args, **options)

    def _adapter_emit_data(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def _adapter_disconnect_stream(self) -> None:
        self._flush()  # the answer to the broker's close must not be lost
        super()._adapter_disconnect_stream()

    def _flush(self) -> None:
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            if self._transport is not None:
                super()._adapter_emit_data(data)


def parameters(settings: BrokerSettings, purpose: str) -> pika.ConnectionParameters:
    """pika's parameters of an `amqp://` or `amqps://` address; never shows the password.

    Raises EventError for an address that is none.
    """
    parts = urlsplit(settings.url)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise EventError("RABBITMQ_URL is not amqp://user:password@host:port/vhost")
    options = parse_qs(parts.query)
    tls = None
    if parts.scheme == "amqps":
        import ssl

        tls = pika.SSLOptions(ssl.create_default_context(), parts.hostname)
    vhost = unquote(parts.path[1:]) if len(parts.path) > 1 else "/"
    heartbeat = int(options.get("heartbeat", [settings.heartbeat_seconds])[0])
    return pika.ConnectionParameters(
        host=parts.hostname,
        port=parts.port or (5671 if tls else 5672),
        virtual_host=vhost,
        credentials=pika.PlainCredentials(
            unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
            erase_on_connect=True,
        ),
        heartbeat=heartbeat,
        socket_timeout=min(5.0, settings.connect_seconds),
        stack_timeout=settings.connect_seconds,
        connection_attempts=1,  # the supervisor tries again, with its own pauses
        blocked_connection_timeout=settings.blocked_seconds if purpose == "publish" else None,
        ssl_options=tls,
        client_properties={"connection_name": f"{settings.name}/{purpose}/{os.getpid()}"},
    )


async def connect(
    settings: BrokerSettings, purpose: str, on_lost: Callable[[str], None]
) -> Connection:
    """An open connection; `on_lost` gets the reason once, when it ends. Raises BrokerLostError."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[None] = loop.create_future()

    def on_open(_connection: object) -> None:
        if not opened.done():
            opened.set_result(None)

    def on_open_error(_connection: object, error: BaseException) -> None:
        if not opened.done():
            opened.set_exception(BrokerLostError(reason(error)))

    def on_close(_connection: object, error: BaseException) -> None:
        on_lost(reason(error))

    connection = Connection(
        parameters(settings, purpose),
        on_open_callback=on_open,
        on_open_error_callback=on_open_error,
        on_close_callback=on_close,
    )
    try:
        async with asyncio.timeout(settings.connect_seconds + 1.0):
            await opened
    except TimeoutError as error:
        _close_quietly(connection)
        raise BrokerLostError("no answer in time") from error
    except asyncio.CancelledError:
        _close_quietly(connection)
        raise
    return connection


async def disconnect(connection: Connection, closed: asyncio.Event, seconds: float) -> None:
    """Close and wait until `closed` (set by `on_lost`), at most so long."""
    _close_quietly(connection)
    try:
        async with asyncio.timeout(seconds):
            await closed.wait()
    except TimeoutError:
        return


async def open_channel(connection: Connection, seconds: float) -> pika.channel.Channel:
    """An open channel. Raises BrokerLostError."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[pika.channel.Channel] = loop.create_future()

    def on_open(channel: pika.channel.Channel) -> None:
        if not opened.done():
            opened.set_result(channel)

    def on_close(_channel: object, error: BaseException) -> None:
        if not opened.done():
            opened.set_exception(BrokerLostError(reason(error)))

    try:
        channel = connection.channel(on_open_callback=on_open)
    except pika.exceptions.AMQPError as error:
        raise BrokerLostError(reason(error)) from error
    channel.add_on_close_callback(on_close)
    return await within(opened, seconds)


async def call(
    channel: pika.channel.Channel, method: str, seconds: float, /, *args: Any, **options: Any
) -> Any:
    """Run an AMQP method that has an answer, such as `queue_declare`, and return the answer.

    Raises ChannelRefusedError when the broker closes the channel over it, BrokerLostError else.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Any] = loop.create_future()

    def on_answer(frame: Any) -> None:
        if not answered.done():
            answered.set_result(frame)

    def on_close(_channel: object, error: BaseException) -> None:
        if answered.done():
            return
        if isinstance(error, pika.exceptions.ChannelClosedByBroker):
            answered.set_exception(ChannelRefusedError(error.reply_code, error.reply_text))
        else:
            answered.set_exception(BrokerLostError(reason(error)))

    channel.add_on_close_callback(on_close)
    try:
        getattr(channel, method)(*args, callback=on_answer, **options)
    except pika.exceptions.AMQPError as error:
        answered.cancel()
        raise BrokerLostError(reason(error)) from error
    return await within(answered, seconds)


class ChannelRefusedError(EventError):
    """The broker closed a channel because of a request: 403 access, 404 absent, 406 different."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the broker answered {code}: {text}")
        self.code = code
        self.text = text


async def within(future: asyncio.Future[Any], seconds: float) -> Any:
    """The future's result; raises BrokerLostError at the deadline."""
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError as error:
        raise BrokerLostError("no answer in time") from error


def reason(error: BaseException | None) -> str:
    """One line about why a connection or channel ended; holds no address and no credentials."""
    if error is None:
        return "closed"
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", None)
    if code is not None:
        return f"{type(error).__name__} {code}: {text}"
    inner = error.args[0] if error.args else None
    if isinstance(inner, BaseException):
        return f"{type(error).__name__}: {type(inner).__name__}"
    return type(error).__name__


def _close_quietly(connection: Connection) -> None:
    if not (connection.is_closing or connection.is_closed):
        try:
            connection.close()
        except pika.exceptions.AMQPError:
            return
