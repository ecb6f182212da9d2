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

from tests.benchmarks.router_peers.peers import LOAD_CORE

#: A token as the apps issue them; only its `sub` is looked at, for stickiness.
CLAIMS = base64.urlsafe_b64encode(b'{"sub":"11111111-2222-4333-8444-555555555555"}').rstrip(b"=")
TOKEN = b"eyJhbGciOiJIUzI1NiJ9." + CLAIMS + b".c2lnbmF0dXJl"
AUTHORIZATION = "Authorization: Bearer " + TOKEN.decode()


@dataclass(frozen=True, slots=True)
class Throughput:
    """Outcome of one run; the latencies are the half and the 99th percent of it, in milliseconds."""

    requests_per_second: float
    errors: int
    p50_ms: float
    p99_ms: float


def run_wrk(url: str, *, connections: int, seconds: int, script: Path | None = None) -> Throughput:
    """One wrk thread; errors are socket errors and answers that are not 2xx or 3xx."""
    words = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    words += ["--latency", "--timeout", "10s", "-H", AUTHORIZATION]
    if script is not None:
        words += ["-s", str(script)]
    done = subprocess.run(
        [*words, url], capture_output=True, text=True, timeout=seconds + 60, check=True
    )
    text = done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    total = sum(int(part) for part in errors.groups()) if errors else 0
    return Throughput(
        float(rate[1]) if rate else 0.0,
        total + (int(bad[1]) if bad else 0),
        _milliseconds(text, "50%"),
        _milliseconds(text, "99%"),
    )


def _milliseconds(text: str, percent: str) -> float:
    found = re.search(rf"^\s+{percent}\s+([\d.]+)(us|ms|s|m)$", text, flags=re.MULTILINE)
    if found is None:
        return float("nan")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[found[2]]


def pace_script(folder: Path, rate: float, connections: int) -> Path:
    """A wrk script: every connection waits so long after an answer that all together make `rate` a second."""
    script = folder / "pace.lua"
    wait = max(round(connections / rate * 1000), 1)
    script.write_text(f"function delay() return {wait} end\n")
    return script


def numbered_script(folder: Path, path: str) -> Path:
    """A wrk script: no two requests have the same head, as behind a proxy that stamps each of them."""
    script = folder / "numbered.lua"
    head = f"GET {path} HTTP/1.1\\r\\nHost: api.scenextras.com\\r\\n{AUTHORIZATION}\\r\\n"
    script.write_text(
        "local n = 1700000000000\n"
        "request = function()\n"
        "  n = n + 1\n"
        f'  return "{head}X-Request-Start: " .. n .. "\\r\\n\\r\\n"\n'
        "end\n"
    )
    return script


def upload_script(folder: Path) -> Path:
    """A wrk script: POST of 1 MiB."""
    script = folder / "upload.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.body = string.rep("x", 1048576)\nwrk.headers["Content-Type"] = "image/png"\n'
    )
    return script


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
