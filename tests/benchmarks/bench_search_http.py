"""Autocomplete and a title read over HTTP at 200 requests a second, service beside monolith, 50,000 titles.

    make bench-search-http            make bench-search-http ARGS="--rate 400 --seconds 10"

Each app is its own process on one database; requests are sent on a clock (open loop), so waiting
counts. Interleaved rounds; medians over the rounds, in milliseconds. Writes .bench/search-http.json.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from migrate.commands.db_migrate import prepare_store
from migrate.seed.catalogue import read_catalogue
from migrate.seed.load_catalogue import load_catalogue
from services.content.search.entries import Entry, Kind
from shared.manifest import load_manifest
from tests.benchmarks import search_names

ROOT = Path(__file__).parents[2]
REPORT = Path(".bench/search-http.json")
SERVERS = ("postgres", "redis", "rabbitmq")
MODULES = {"service": "services.content", "monolith": "monolith"}
FIGURES = ("autocomplete_median", "autocomplete_p99", "read_median", "read_p99")
CONNECTIONS = 16
START_SECONDS = 90.0
TABLES = {
    Kind.TITLE: ("titles", ("id", "format", "title", "title_norm", "popularity", "year")),
    Kind.CHARACTER: ("characters", ("id", "name", "name_norm", "series", "popularity")),
    Kind.ACTOR: ("actors", ("id", "name", "name_norm", "popularity")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--titles", type=int, default=50_000)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--apps", nargs="+", choices=MODULES, default=list(MODULES))
    arguments = parser.parse_args()
    with _servers() as servers:
        figures = uvloop.run(_measure(arguments, servers))
    ratios = {
        name.removeprefix("monolith_"): round(
            value / figures[name.replace("monolith", "service")], 2
        )
        for name, value in figures.items()
        if name.startswith("monolith_")
    }
    REPORT.parent.mkdir(exist_ok=True)
    report = {"figures": figures, "ratios": {"monolith": ratios}}
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    table = Table("what", *(f"{name} ms" for name in arguments.apps))
    for what in FIGURES:
        table.add_row(what, *(str(figures[f"{name}_{what}"]) for name in arguments.apps))
    Console().print(table)
    Console().print(f"written to {REPORT}")


async def _measure(arguments: argparse.Namespace, servers: dict[str, str]) -> dict[str, float]:
    rows = search_names.entries(arguments.titles)
    title = next(row for row in rows if row.name == "The Matrix")
    found: dict[str, list[float]] = {}
    async with _database(rows, servers) as environment:
        with contextlib.ExitStack() as stack:
            ports = {name: stack.enter_context(_app(name, environment)) for name in arguments.apps}
            for name, port in ports.items():
                await _ready(port, "/readyz" if name == "service" else "/api/search?q=matrix")
            for number in range(arguments.rounds + 1):  # the first round warms up
                texts = search_names.queries(rows, 4000, seed=number)
                typing = [f"/api/autocomplete?q={quote(text)}" for text in texts]
                for what, paths in (
                    ("autocomplete", typing),
                    ("read", [f"/api/resources/movies/{title.id}"] * 50),
                ):
                    for name, port in ports.items():
                        spent = await _load(port, paths, arguments.rate, arguments.seconds)
                        for quantile, value in _quantiles(spent).items():
                            if number:
                                found.setdefault(f"{name}_{what}_{quantile}", []).append(value)
    return {name: round(statistics.median(values), 3) for name, values in found.items()}


async def _load(port: int, paths: list[str], rate: float, seconds: float) -> list[float]:
    """Milliseconds from the start of every request, on its time, to the end of its answer."""
    connections: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        connections.put_nowait(await _Connection.open(port))
    clock = time.perf_counter  # the loop's own clock only counts milliseconds
    started, spent, tasks = clock(), list[float](), list[asyncio.Task[None]]()

    async def one(path: str, begun: float) -> None:
        connection = await connections.get()
        status = await connection.get(path)
        spent.append((clock() - begun) * 1000)
        connections.put_nowait(connection)
        if status != 200:
            raise RuntimeError(f"{path} was answered with {status}")

    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(max(due - clock(), 0))
        tasks.append(asyncio.create_task(one(paths[number % len(paths)], clock())))
    await asyncio.gather(*tasks)
    while not connections.empty():
        connections.get_nowait().close()
    return spent


class _Connection:
    """One kept-alive HTTP/1.1 connection; reads answers with Content-Length only."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self, path: str) -> int:
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        self._writer.close()


@contextlib.contextmanager
def _servers() -> Iterator[dict[str, str]]:
    """Addresses by kind: from TEST_*_URL, else of private servers that end with the block."""
    given = {kind: os.environ.get(f"TEST_{kind.upper()}_URL", "") for kind in SERVERS}
    if all(given.values()):
        yield given
        return
    command = [sys.executable, "-m", "migrate.stack.servers"]
    folder = str(ROOT / ".stack" / "bench" / str(os.getpid()))
    start = [*command, "start", folder, str(os.getpid())]
    started = subprocess.run(start, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    try:
        yield json.loads(started.stdout)
    finally:
        subprocess.run([*command, "remove", folder], cwd=ROOT, check=True)


@contextlib.asynccontextmanager
async def _database(rows: list[Entry], servers: dict[str, str]) -> AsyncIterator[dict[str, str]]:
    """A database with everything in it, as the environment of the apps."""
    admin_dsn = servers["postgres"]
    name = f"bench_{uuid.uuid4().hex[:12]}"
    dsn = urlunsplit(urlsplit(admin_dsn)._replace(path=f"/{name}"))
    admin = await asyncpg.connect(admin_dsn)
    await admin.execute(f'CREATE DATABASE "{name}"')
    try:
        await asyncio.to_thread(_migrate, dsn)
        await prepare_store(dsn, load_manifest(ROOT / "migration.toml"), actor="bench")
        await _fill(dsn, rows)
        yield {
            "DATABASE_URL": dsn,
            "SHARED_DATABASE_URL": dsn,
            "REDIS_URL": servers["redis"],
            "RABBITMQ_URL": servers["rabbitmq"],
            "JWT_SECRETS": "bench-secret-of-more-than-32-bytes",
            "RATE_LIMITS": "off",
            "LOG_LEVEL": "warning",
        }
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


def _migrate(dsn: str) -> None:
    command = [sys.executable, "-m", "monolith.migrations"]
    environment = {**os.environ, "DATABASE_URL": dsn}
    subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


async def _fill(dsn: str, rows: list[Entry]) -> None:
    connection = await asyncpg.connect(dsn)
    catalogue = read_catalogue()
    await load_catalogue(connection, catalogue)
    shipped = {str(row.id) for row in (*catalogue.titles, *catalogue.actors, *catalogue.characters)}
    for kind, (table, columns) in TABLES.items():
        records = []
        for row in rows:
            if row.kind is kind and row.id not in shipped:
                values = {
                    "id": row.id, "format": "movie", "title": row.name, "title_norm": row.norm,
                    "name": row.name, "name_norm": row.norm, "popularity": row.popularity,
                    "year": int(row.subtitle or 2000), "series": "",
                }  # fmt: skip
                records.append([values[column] for column in columns])
        await connection.copy_records_to_table(table, records=records, columns=columns)
    await connection.execute("ANALYZE")
    await connection.close()


@contextlib.contextmanager
def _app(name: str, environment: dict[str, str]) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", MODULES[name]],
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


async def _ready(port: int, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            connection = await _Connection.open(port)
            if await connection.get(path) == 200:
                return
        except (OSError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(0.2)
    raise TimeoutError(f"the app on port {port} does not answer {path}")


def _quantiles(spent: list[float]) -> dict[str, float]:
    ordered = sorted(spent)
    return {"median": statistics.median(ordered), "p99": ordered[int(len(ordered) * 0.99)]}


if __name__ == "__main__":
    main()
