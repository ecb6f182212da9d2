"""A TCP relay in front of the broker that keeps every AMQP method that clients send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pika.frame


@dataclass
class Recording:
    """Methods and content headers in the order of sending, over all connections."""

    url: str = ""
    methods: list[Any] = field(default_factory=list)
    properties: list[Any] = field(default_factory=list)

    def of(self, kind: type[Any]) -> list[Any]:
        return [method for method in self.methods if isinstance(method, kind)]


@asynccontextmanager
async def recording(broker_url: str) -> AsyncIterator[Recording]:
    """The recording and, in it, the address that clients use instead of the broker's."""
    found = Recording()
    parts = urlsplit(broker_url)
    tasks: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port or 5672)
        for one in (_listen(reader, back, found), _pass_on(there, writer)):
            task = asyncio.create_task(one)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    found.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
    try:
        yield found
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, found: Recording
) -> None:
    buffer = b""
    while data := await reader.read(65_536):
        buffer += data
        writer.write(data)
        await writer.drain()
        while buffer:
            size, frame = pika.frame.decode_frame(buffer)
            if frame is None:
                break
            buffer = buffer[size:]
            if isinstance(frame, pika.frame.Method):
                found.methods.append(frame.method)
            elif isinstance(frame, pika.frame.Header):
                found.properties.append(frame.properties)
    writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
