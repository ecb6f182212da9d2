"""The router beside nginx, HAProxy, Caddy and Envoy: one process each on one core, load from the other core.

    make bench-router            (about eight minutes; ARGS=--quick for a look)

All of them run the whole time; each figure is measured at one after the other, round by round, and medians are
taken. Prints ratios to every peer, writes .bench/router.json and a plot beside this file. `router` is the router
as it is shipped, with its hot modules compiled; `router_plain` the same without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from tests.benchmarks.router_peers import load
from tests.benchmarks.router_peers.peers import (
    LOAD_CORE,
    PEERS,
    compile_router,
    cpu_seconds,
    ensure_programs,
    memory_bytes,
    start_backend,
    start_peer,
    stop,
)
from tests.benchmarks.router_peers.plot import bars
from tests.benchmarks.router_peers.proxies import Ports

REPORT = Path(".bench/router.json")
PLOT = Path(__file__).parent / "router_peers" / "router.svg"
SMALL, BIG, UPLOAD = "/api/search?q=dune", "/api/resources/popular", "/api/images/upload"
CONNECTIONS = (1, 16, 64, 256, 1000)
STREAMS, SOCKETS, IDLE = 200, 64, 1000
#: Connections of the run at a fixed rate: so many that one that waits holds back few others.
PACED = 256
Samples = dict[str, dict[str, list[float]]]
#: Figures of which less is better; a ratio above 1 is still "ours divided by theirs".
LESS_IS_BETTER = ("_ms", "_us", "_kib")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One running proxy."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class Bench:
    """Runs every figure at every proxy."""

    def __init__(self, folder: Path, proxies: Sequence[Proxy], ports: Ports, seconds: int) -> None:
        self.samples: Samples = defaultdict(lambda: defaultdict(list))
        self._proxies = proxies
        self._ports = ports
        self._seconds = seconds
        self._folder = folder
        self._upload = load.upload_script(folder)
        self._numbered = load.numbered_script(folder, SMALL)

    async def each(
        self, figure: Callable[[Proxy], Awaitable[None]], *, plain: bool = False
    ) -> None:
        """One figure at every proxy, one directly after the other."""
        for proxy in self._proxies:
            if plain or proxy.name != "router_plain":
                await figure(proxy)

    def add(self, key: str, name: str, value: float) -> None:
        self.samples[key][name].append(value)

    async def memory(self, proxy: Proxy) -> None:
        """Memory of idle connections and of open streams; first: pages that were used once stay mapped."""
        for writer in await load.open_idle(proxy.port, SMALL, 16):
            writer.close()
        before = memory_bytes(proxy.process.pid)
        idle = await load.open_idle(proxy.port, SMALL, IDLE)
        middle = memory_bytes(proxy.process.pid)
        streams = await load.open_streams(proxy.port, STREAMS)
        await asyncio.sleep(0.5)
        after = memory_bytes(proxy.process.pid)
        self.add("idle_1000_connections_kib", proxy.name, max(middle - before, 0) / 1024)
        self.add("stream_kib", proxy.name, max(after - middle, 0) / STREAMS / 1024)
        for writer in (*idle, *(writer for _, writer in streams)):
            writer.close()
        await asyncio.sleep(0.2)

    async def streams(self, proxy: Proxy) -> None:
        streams = await load.open_streams(proxy.port, STREAMS)
        before = cpu_seconds(proxy.process.pid)
        started = time.monotonic()
        rate = await load.count_events(streams, self._seconds)
        used = cpu_seconds(proxy.process.pid) - before
        self.add("stream_events_per_s", proxy.name, rate)
        self.add(
            "stream_event_cpu_us", proxy.name, used / (rate * (time.monotonic() - started)) * 1e6
        )
        for _, writer in streams:
            writer.close()

    async def sockets(self, proxy: Proxy) -> None:
        before = cpu_seconds(proxy.process.pid)
        started = time.monotonic()
        rate = await load.echo_rate(proxy.port, SOCKETS, self._seconds)
        used = cpu_seconds(proxy.process.pid) - before
        self.add("websocket_echo_rps", proxy.name, rate)
        self.add(
            "websocket_echo_cpu_us", proxy.name, used / (rate * (time.monotonic() - started)) * 1e6
        )

    async def wrk(
        self, proxy: Proxy, path: str, connections: int, script: Path | None = None
    ) -> tuple[float, float]:
        """(requests a second, CPU microseconds per request) of one closed-loop run."""
        before = cpu_seconds(proxy.process.pid)
        run = await asyncio.to_thread(
            load.run_wrk,
            proxy.url(path),
            connections=connections,
            seconds=self._seconds,
            script=script,
        )
        used = cpu_seconds(proxy.process.pid) - before
        self.add("errors", proxy.name, float(run.errors))
        requests = max(run.requests_per_second * self._seconds, 1.0)
        return run.requests_per_second, used / requests * 1e6

    async def small(self, proxy: Proxy, connections: int) -> None:
        rate, cpu = await self.wrk(proxy, SMALL, connections)
        self.add(f"small_json_rps_{connections}_connections", proxy.name, rate)
        if connections == 64:
            self.add("small_json_rps", proxy.name, rate)
            self.add("small_json_cpu_us", proxy.name, cpu)

    async def numbered(self, proxy: Proxy) -> None:
        rate, cpu = await self.wrk(proxy, SMALL, 64, self._numbered)
        self.add("numbered_heads_rps", proxy.name, rate)
        self.add("numbered_heads_cpu_us", proxy.name, cpu)

    async def bulk(self, proxy: Proxy) -> None:
        rate, cpu = await self.wrk(proxy, BIG, 16)
        self.add("answers_64kib_rps", proxy.name, rate)
        self.add("answers_64kib_cpu_us", proxy.name, cpu)

    async def uploads(self, proxy: Proxy) -> None:
        rate, cpu = await self.wrk(proxy, UPLOAD, 4, self._upload)
        self.add("uploads_1mib_rps", proxy.name, rate)
        self.add("uploads_1mib_cpu_us", proxy.name, cpu)

    async def latency(self, name: str, port: int) -> None:
        """Latency at half of the router's most; `direct` is the back end alone, to be taken off."""
        half = statistics.median(self.samples["small_json_rps"]["router"]) / 2
        run = await asyncio.to_thread(
            load.run_wrk,
            f"http://127.0.0.1:{port}{SMALL}",
            connections=PACED,
            seconds=self._seconds + 1,
            script=load.pace_script(self._folder, half, PACED),
        )
        self.add("half_rate_p50_ms", name, run.p50_ms)
        self.add("half_rate_p99_ms", name, run.p99_ms)
        self.add("half_rate_rps", name, run.requests_per_second)

    async def round(self, *, is_first: bool) -> None:
        if is_first:
            await self.each(self.memory)
        for connections in CONNECTIONS:
            await self.each(
                lambda proxy, count=connections: self.small(proxy, count),  # type: ignore[misc]
                plain=connections == 64,
            )
        for figure in (self.numbered, self.bulk, self.uploads, self.streams, self.sockets):
            await self.each(figure)
        await self.latency("direct", self._ports.plain)
        await self.each(lambda proxy: self.latency(proxy.name, proxy.port))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS), help="comma separated")
    words = parser.parse_args()
    wanted = [name for name in words.peers.split(",") if name]
    missing = ensure_programs(("wrk", "nginx", *(name for name in wanted if name != "nginx")))
    if {"wrk", "nginx"} & set(missing):
        sys.exit("wrk makes the load and nginx is the back end: without them nothing is measured")
    is_compiled = compile_router()
    peers = [name for name in wanted if name not in missing]
    names = ["router", *(["router_plain"] if is_compiled else []), *peers]
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    loads = [os.getloadavg()[0]]
    if loads[0] > 1.0:
        Console().print("[yellow]other work runs on this machine; these figures are noisy[/yellow]")
    rounds, seconds = (1, 1) if words.quick else (words.rounds, 2)
    with tempfile.TemporaryDirectory() as folder:
        samples = uvloop.run(_measure(Path(folder), names, rounds, seconds))
    loads.append(os.getloadavg()[0])
    _report(samples, [name for name in names if name != "router"], loads, is_compiled)


async def _measure(folder: Path, names: list[str], rounds: int, seconds: int) -> Samples:
    ports, backend = start_backend(folder)
    proxies: list[Proxy] = []
    try:
        # One by one: those that run already must be stopped when the next one does not start.
        proxies.extend(Proxy(name, *start_peer(name, ports, folder)) for name in names)
        bench = Bench(folder, proxies, ports, seconds)
        for number in range(rounds):
            Console().print(f"round {number + 1} of {rounds}")
            await bench.round(is_first=number == 0)
    finally:
        for process in (*(proxy.process for proxy in proxies), *backend):
            stop(process)
    return bench.samples


def _report(samples: Samples, peers: list[str], loads: list[float], is_compiled: bool) -> None:
    figures = {
        key: {name: statistics.median(values) for name, values in by_name.items()}
        for key, by_name in samples.items()
    }
    for key in ("half_rate_p50_ms", "half_rate_p99_ms"):
        direct = figures[key].pop("direct")
        figures[key.replace("half_rate", "added_at_half_rate")] = {
            name: max(value - direct, 0.001) for name, value in figures[key].items()
        }
    figures["half_rate_rps"].pop("direct")
    ratios = {
        key: {
            name: row["router"] / value for name, value in row.items() if name != "router" and value
        }
        for key, row in figures.items()
        if key != "errors"
    }
    machine = {"load_before": loads[0], "load_after": loads[1], "is_compiled": is_compiled}
    REPORT.parent.mkdir(exist_ok=True)
    document = {"figures": figures, "ratios": ratios, "machine": machine, "samples": samples}
    REPORT.write_text(json.dumps(document, indent=1) + "\n")
    table = Table("figure", "router", *(f"router / {name}" for name in peers))
    for key, row in figures.items():
        cells = [
            f"{ratios[key][name]:.2f}" if name in ratios.get(key, {}) else "" for name in peers
        ]
        table.add_row(key, f"{row['router']:.4g}", *cells)
    Console(width=130).print(table)
    shown = [name for name in peers if name != "router_plain"]
    PLOT.write_text(bars(ratios, shown, LESS_IS_BETTER), encoding="utf-8")
    Console().print(f"written to {REPORT} and {PLOT.name}")


if __name__ == "__main__":
    main()
