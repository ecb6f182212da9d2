"""The router at half of its load for ten minutes: flat memory, files and tasks, and not one error.

    make soak-router             (ARGS="--seconds 20" for a look; a longer run proves more)

Requests, uploads, 64 KiB answers, event streams, WebSocket echoes and clients that leave in the middle, all at
once. Ends with 1 and says why when something grew or failed; writes .bench/soak_router.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import uvloop
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from tests.benchmarks.router_peers import load
from tests.benchmarks.router_peers.load import AUTHORIZATION
from tests.benchmarks.router_peers.peers import (
    ADMIN_TOKEN,
    LOAD_CORE,
    admin_port,
    ensure_programs,
    start_backend,
    start_peer,
    stop,
)

REPORT = Path(".bench/soak_router.json")
SMALL = "/api/search?q=dune"
BIG = b"GET /api/resources/popular HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
UPLOAD = (
    b"POST /api/images/upload HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
    b"Connection: close\r\nContent-Length: 262144\r\n\r\n"
) + b"x" * 262_144
#: Connections of the steady load, and seconds per piece of it: errors are seen piece by piece.
CONNECTIONS, PIECE_SECONDS = 64, 10
STREAMS, SOCKETS, IDLE = 20, 8, 50
#: Growth that is allowed between the middle and the last third of the run. Allocators keep some pages; a leak of
#: 100 bytes a request would pass this in a minute.
MAX_GROWTH_BYTES, MAX_GROWTH_SHARE = 4 * 1024 * 1024, 0.05
#: Clients that leave on purpose are no errors.
ON_PURPOSE = {"client_gone"}
#: Kept upstream connections come and go; files and tasks may differ by this many.
SLACK = 40


@dataclass(frozen=True, slots=True)
class Sample:
    """Gauges of the router at one moment."""

    second: float
    memory_bytes: float
    open_files: float
    tasks: float
    clients: float


@dataclass(slots=True)
class Soak:
    """Everything that was seen."""

    requests: float = 0.0
    others: int = 0
    errors: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600, help="length of the run")
    words = parser.parse_args()
    ensure_programs(("wrk", "nginx"))
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory() as folder:
        soak = uvloop.run(_soak(Path(folder), max(words.seconds, 6)))
    return _report(soak)


async def _soak(folder: Path, seconds: int) -> Soak:
    soak = Soak()
    ports, backend = start_backend(folder)
    port, process = start_peer("router", ports, folder)
    admin = f"http://127.0.0.1:{admin_port(folder)}"
    try:
        async with httpx.AsyncClient(
            base_url=admin, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, trust_env=False
        ) as client:
            await _run(soak, client, folder, port, seconds)
    finally:
        for started in (process, *backend):
            stop(started)
    return soak


async def _run(soak: Soak, admin: httpx.AsyncClient, folder: Path, port: int, seconds: int) -> None:
    url = f"http://127.0.0.1:{port}{SMALL}"
    fastest = await asyncio.to_thread(load.run_wrk, url, connections=CONNECTIONS, seconds=3)
    half = fastest.requests_per_second / 2
    pace = folder / "pace.lua"
    # Each connection waits so long after an answer that all together make half of the most.
    pace.write_text(f"function delay() return {max(round(CONNECTIONS / half * 1000), 1)} end\n")
    Console().print(f"most {fastest.requests_per_second:.0f}/s; {seconds} s at about {half:.0f}/s")
    await _others_once(soak, port)
    before = await _gauges(admin)
    until = time.monotonic() + seconds
    others = [
        asyncio.create_task(_repeat(soak, until, work))
        for work in (lambda: _others_once(soak, port), lambda: _leave_early(port))
    ]
    watcher = asyncio.create_task(_watch(soak, admin, until))
    while (left := until - time.monotonic()) > 1:
        piece = max(min(PIECE_SECONDS, round(left)), 1)
        run = await asyncio.to_thread(
            load.run_wrk, url, connections=CONNECTIONS, seconds=piece, script=pace
        )
        soak.requests += run.requests_per_second * piece
        if run.errors:
            soak.errors.append(f"{run.errors} errors under steady load")
    await asyncio.gather(*others, watcher)
    await _after(soak, admin, before)


async def _repeat(soak: Soak, until: float, work: Callable[[], Awaitable[None]]) -> None:
    while time.monotonic() < until:
        try:
            await work()
            soak.others += 1
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            soak.errors.append(f"{type(error).__name__}: {error}")
        await asyncio.sleep(0.05)


async def _others_once(soak: Soak, port: int) -> None:
    """One of each other kind of traffic."""
    for data, status, length in ((BIG, b"200", 60_000), (UPLOAD, b"201", 2)):
        answer = await _whole(port, data)
        if answer[9:12] != status or len(answer) < length:
            soak.errors.append(f"unexpected answer: {answer[:60]!r}")
    streams = await load.open_streams(port, STREAMS)
    if await load.count_events(streams, 0.5) <= 0:
        soak.errors.append("streams without events")
    for _, writer in streams:
        writer.close()
    if await load.echo_rate(port, SOCKETS, 0.5) <= 0:
        soak.errors.append("sockets without echoes")
    for writer in await load.open_idle(port, SMALL, IDLE):
        writer.close()


async def _whole(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


async def _leave_early(port: int) -> None:
    """Clients that leave before, during and after their head, upload and stream."""
    head = (
        f"POST /api/chat/talk_with/stream HTTP/1.1\r\nHost: a\r\n{AUTHORIZATION}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    ).encode()
    for data in (head[:40], head, UPLOAD[:70_000], BIG.replace(b"close", b"keep-alive")):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await asyncio.sleep(0.02)
        writer.transport.abort()


async def _metrics(admin: httpx.AsyncClient) -> str:
    answer = await admin.get("/metrics", timeout=10)
    return answer.raise_for_status().text


async def _gauges(admin: httpx.AsyncClient) -> Sample:
    text = await _metrics(admin)

    def value(name: str) -> float:
        found = re.search(rf"^router_{name} (\S+)$", text, flags=re.MULTILINE)
        return float(found[1]) if found else float("nan")

    return Sample(
        time.monotonic(), value("memory_bytes"), value("open_files"), value("tasks"),
        value("client_connections"),
    )  # fmt: skip


async def _watch(soak: Soak, admin: httpx.AsyncClient, until: float) -> None:
    while time.monotonic() < until:
        soak.samples.append(await _gauges(admin))
        await asyncio.sleep(1)


async def _after(soak: Soak, admin: httpx.AsyncClient, before: Sample) -> None:
    """What is left when the clients are gone, and what the router itself has counted."""
    await asyncio.sleep(6)  # kept connections to the apps live for four seconds
    last = await _gauges(admin)
    text = await _metrics(admin)
    for name in ("open_files", "tasks", "clients"):
        was, now = getattr(before, name), getattr(last, name)
        if not now <= was + SLACK / 4:
            soak.errors.append(f"{name}: {was:.0f} before, {now:.0f} when everybody had left")
    for cause, count in re.findall(r'router_failures_total\{cause="(\w+)"\} (\d+)', text):
        if cause not in ON_PURPOSE:
            soak.errors.append(f"the router counted {count} of {cause}")
    for line in re.findall(r'router_requests_total\{[^}]*status="5xx"\} \d+', text):
        soak.errors.append(line)
    if re.search(r"router_in_flight\{[^}]*\} [1-9]", text):
        soak.errors.append("requests are counted as in flight for ever")


def _report(soak: Soak) -> int:
    growth: dict[str, float] = {}
    third = len(soak.samples) // 3
    allowed = {"memory_bytes": float(MAX_GROWTH_BYTES), "open_files": SLACK, "tasks": SLACK}
    for name, most in allowed.items():
        values = [getattr(sample, name) for sample in soak.samples]
        first = statistics.median(values[third : 2 * third] or values)
        last = statistics.median(values[-third:] or values)
        growth[name] = last - first
        if name == "memory_bytes":
            most = max(most, first * MAX_GROWTH_SHARE)
        if not growth[name] <= most:
            soak.errors.append(f"{name} grew by {growth[name]:.0f}, {most:.0f} is allowed")
    REPORT.parent.mkdir(exist_ok=True)
    figures = {"requests": round(soak.requests), "other_rounds": soak.others, "growth": growth}
    samples = [asdict(sample) for sample in soak.samples]
    REPORT.write_text(
        json.dumps({"figures": figures, "errors": soak.errors, "samples": samples}, indent=1) + "\n"
    )
    Console().print(figures)
    for error in soak.errors[:20]:
        Console().print(f"[red]{error}[/red]", markup=True)
    Console().print("flat, no errors" if not soak.errors else f"{len(soak.errors)} errors")
    return 1 if soak.errors else 0


if __name__ == "__main__":
    sys.exit(main())
