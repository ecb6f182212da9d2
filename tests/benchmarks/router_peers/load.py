"""Load from the other core: wrk for throughput, an open-loop client for latency, streams and sockets."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.router_peers.peers import LOAD_CORE

#: A token as the apps issue them; only its `sub` is looked at, for stickiness.
CLAIMS = base64.urlsafe_b64encode(b'{"sub":"11111111-2222-4333-8444-555555555555"}').rstrip(b"=")
TOKEN = b"eyJhbGciOiJIUzI1NiJ9." + CLAIMS + b".c2lnbmF0dXJl"
AUTHORIZATION = "Authorization: Bearer " + TOKEN.decode()


@dataclass(frozen=True, slots=True)
class Throughput:
    """Outcome of one closed-loop run."""

    requests_per_second: float
    errors: int


def run_wrk(
    url: str, *, connections: int, seconds: float, script: Path | None = None
) -> Throughput:
    """One wrk thread; errors are socket errors and answers that are not 2xx or 3xx."""
    words = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s"]
    words += ["--timeout", "10s", "-H", AUTHORIZATION]
    if script is not None:
        words += ["-s", str(script)]
    done = subprocess.run(
        [*words, url], capture_output=True, text=True, timeout=seconds + 60, check=True
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", done.stdout
    )
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    total = sum(int(part) for part in errors.groups()) if errors else 0
    return Throughput(float(rate[1]) if rate else 0.0, total + (int(bad[1]) if bad else 0))


class _OneAnswer(asyncio.Protocol):
    """A keep-alive connection that knows answers with Content-Length only."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.waiter: asyncio.Future[None] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = re.search(rb"content-length: (\d+)", self._buffer[:end].lower())
        if found and len(self._buffer) >= end + 4 + int(found[1]):
            self._buffer = b""
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(ConnectionResetError())


async def latencies_at_rate(port: int, path: str, *, rate: float, seconds: float) -> list[float]:
    """Milliseconds per request at a fixed rate, from the time it was due (no coordinated omission)."""
    loop = asyncio.get_running_loop()
    idle: list[_OneAnswer] = []
    taken: list[float] = []
    running: set[asyncio.Task[None]] = set()
    request = f"GET {path} HTTP/1.1\r\nHost: api.scenextras.com\r\n{AUTHORIZATION}\r\n\r\n".encode()

    async def one(due: float) -> None:
        if idle:
            connection = idle.pop()
        else:
            _, connection = await loop.create_connection(_OneAnswer, "127.0.0.1", port)
        connection.waiter = loop.create_future()
        assert connection.transport is not None
        connection.transport.write(request)
        await connection.waiter
        taken.append((loop.time() - due) * 1000)
        idle.append(connection)

    start = loop.time() + 0.05
    for number in range(int(rate * seconds)):
        due = start + number / rate
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        task = loop.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.wait_for(asyncio.gather(*running), 30)
    for connection in idle:
        if connection.transport is not None:
            connection.transport.close()
    return taken[len(taken) // 10 :]  # the first tenth opens connections


async def open_streams(
    port: int, count: int
) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Event streams with their heads read."""
    head = (
        "POST /api/chat/talk_with/stream HTTP/1.1\r\nHost: api.scenextras.com\r\n"
        f"{AUTHORIZATION}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    ).encode()
    opened = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        if b" 200 " not in answer:
            raise ConnectionError(answer.decode())
        opened.append((reader, writer))
    return opened


async def count_events(
    streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]], seconds: float
) -> float:
    """Events a second over all streams."""
    seen = 0

    async def read(reader: asyncio.StreamReader) -> None:
        nonlocal seen
        while True:
            data = await reader.read(65536)  # apart: `seen += await …` would read `seen` too early
            seen += data.count(b"event: delta")
            if not data:
                return

    tasks = [asyncio.create_task(read(reader)) for reader, _ in streams]
    await asyncio.sleep(0.5)
    seen, started = 0, time.monotonic()
    await asyncio.sleep(seconds)
    rate = seen / (time.monotonic() - started)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return rate


async def echo_rate(port: int, count: int, seconds: float) -> float:
    """Round trips a second of `count` WebSocket clients that each wait for their echo."""
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        "GET /api/story/rooms/11111111-2222-4333-8444-555555555555/ws HTTP/1.1\r\n"
        f"Host: api.scenextras.com\r\n{AUTHORIZATION}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
    frame = b"\x81\x20" + b"x" * 32
    trips = 0

    async def client() -> None:
        nonlocal trips
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            if b" 101 " not in answer:
                raise ConnectionError(answer.decode())
            while True:
                writer.write(frame)
                await reader.readexactly(len(frame))
                trips += 1
        finally:
            writer.close()

    tasks = [asyncio.create_task(client()) for _ in range(count)]
    await asyncio.sleep(0.5)
    failed = [task for task in tasks if task.done()]
    if failed:
        failed[0].result()
    trips, started = 0, time.monotonic()
    await asyncio.sleep(seconds)
    rate = trips / (time.monotonic() - started)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return rate


async def open_idle(port: int, path: str, count: int) -> list[asyncio.StreamWriter]:
    """Keep-alive connections that have had one answer each."""
    request = f"GET {path} HTTP/1.1\r\nHost: api.scenextras.com\r\n\r\n".encode()
    opened = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        opened.append(writer)
    return opened
