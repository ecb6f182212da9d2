"""Requests on a clock (open loop) to apps in processes of their own; for benchmarks only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_SECONDS = 90.0
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; `body` is JSON."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def head(self) -> bytes:
        method = "GET" if self.body is None else "POST"
        lines = [f"{method} {self.path} HTTP/1.1", "Host: bench"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + (self.body or b"")


class Connection:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def whole(self, ask: Ask) -> None:
        """Until the end of an answer with Content-Length; RuntimeError unless it is 200."""
        head = await self._send(ask)
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)

    async def first_delta(self, ask: Ask) -> Callable[[], Awaitable[None]]:
        """Until the first word of a streamed reply; the result reads the rest."""
        await self._send(ask)
        await self._reader.readuntil(b"event: delta\n")

        async def rest() -> None:
            await self._reader.readuntil(b"event: done\n")
            await self._reader.readuntil(b"\r\n0\r\n\r\n")

        return rest

    def close(self) -> None:
        self._writer.close()

    async def _send(self, ask: Ask) -> bytes:
        self._writer.write(ask.head())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if int(head[9:12]) != 200:
            raise RuntimeError(f"{ask.path} was answered with {head[9:12].decode()}")
        return head


async def load(
    port: int, asks: Sequence[Ask], rate: float, seconds: float, *, streamed: bool = False
) -> list[float]:
    """Milliseconds from the time when each request was due, to its answer or its first word."""
    connections: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        connections.put_nowait(await Connection.open(port))
    clock = time.perf_counter  # the loop's own clock only counts milliseconds
    started, spent, tasks = clock(), list[float](), list[asyncio.Task[None]]()

    async def one(ask: Ask, begun: float) -> None:
        connection = await connections.get()
        if streamed:
            rest = await connection.first_delta(ask)
            spent.append((clock() - begun) * 1000)
            await rest()
        else:
            await connection.whole(ask)
            spent.append((clock() - begun) * 1000)
        connections.put_nowait(connection)

    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(max(due - clock(), 0))
        tasks.append(asyncio.create_task(one(asks[number % len(asks)], clock())))
    await asyncio.gather(*tasks)
    while not connections.empty():
        connections.get_nowait().close()
    return spent


def quantiles(spent: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile of one round."""
    ordered = sorted(spent)
    return {"median": statistics.median(ordered), "p99": ordered[int(len(ordered) * 0.99)]}


@contextlib.contextmanager
def app_process(module: str, environment: Mapping[str, str]) -> Iterator[int]:
    """`python -m module` on a free port, which the block gets."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        env={**os.environ, **environment, "PORT": str(port)},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def until_ready(port: int, ask: Ask) -> None:
    """Wait until an app answers with 200; TimeoutError when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            connection = await Connection.open(port)
            await connection.whole(ask)
        except (OSError, asyncio.IncompleteReadError, RuntimeError):
            await asyncio.sleep(0.2)
        else:
            connection.close()
            return
    raise TimeoutError(f"the app on port {port} does not answer {ask.path}")
