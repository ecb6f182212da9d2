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
import statistics
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
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
from migrate.stack.programs import ServerKind
from services.content.search.entries import Entry, Kind
from shared.manifest import load_manifest
from tests.benchmarks import search_names
from tests.benchmarks.http_load import Ask, app_process, load, quantiles, until_ready
from tests.benchmarks.private_servers import benchmark_servers

ROOT = Path(__file__).parents[2]
REPORT = Path(".bench/search-http.json")
MODULES = {"service": "services.content", "monolith": "monolith"}
FIGURES = ("autocomplete_median", "autocomplete_p99", "read_median", "read_p99")
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
    with benchmark_servers("postgres", "redis", "rabbitmq") as servers:
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


async def _measure(
    arguments: argparse.Namespace, servers: Mapping[ServerKind, str]
) -> dict[str, float]:
    rows = search_names.entries(arguments.titles)
    title = next(row for row in rows if row.name == "The Matrix")
    found: dict[str, list[float]] = {}
    async with filled_database(rows, servers) as environment:
        with contextlib.ExitStack() as stack:
            ports = {
                name: stack.enter_context(app_process(MODULES[name], environment))
                for name in arguments.apps
            }
            for name, port in ports.items():
                await until_ready(
                    port, Ask("/readyz" if name == "service" else "/api/search?q=matrix")
                )
            for number in range(arguments.rounds + 1):  # the first round warms up
                texts = search_names.queries(rows, 4000, seed=number)
                typing = [Ask(f"/api/autocomplete?q={quote(text)}") for text in texts]
                for what, asks in (
                    ("autocomplete", typing),
                    ("read", [Ask(f"/api/resources/movies/{title.id}")]),
                ):
                    for name, port in ports.items():
                        spent = await load(port, asks, arguments.rate, arguments.seconds)
                        for quantile, value in quantiles(spent).items():
                            if number:
                                found.setdefault(f"{name}_{what}_{quantile}", []).append(value)
    return {name: round(statistics.median(values), 3) for name, values in found.items()}


@contextlib.asynccontextmanager
async def filled_database(
    rows: list[Entry], servers: Mapping[ServerKind, str]
) -> AsyncIterator[dict[str, str]]:
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


if __name__ == "__main__":
    main()
