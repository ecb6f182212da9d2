"""What clients feel, service beside monolith: autocomplete, reads, the first word of a reply.

    make bench-services               make bench-services ARGS="--rounds 2 --seconds 2"

Over 50,000 titles and the messages of 200 people. Each app is its own process on one database;
requests are sent on a clock (open loop), so waiting counts. Rounds of both sides alternate; a figure
is taken over the requests of all rounds, in milliseconds. `floor` is an answer without any work:
what this machine and this client add. Models answer at once, so the first word is ours alone.
Writes .bench/services.json with the goals and whether they are met; less than four minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import uvloop
from jose import jwt
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from migrate.commands.seed import populate
from migrate.stack.programs import ServerKind
from tests.benchmarks import search_names
from tests.benchmarks.bench_search_http import filled_database
from tests.benchmarks.http_load import Ask, app_process, load, quantiles, until_ready
from tests.benchmarks.private_servers import benchmark_servers

REPORT = Path(".bench/services.json")
TOKEN_SECONDS = 3600
#: Who needs so many times a round's length to answer it cannot keep up, and is not asked again.
DROWNED_FACTOR = 2.0
SIDES = ("service", "monolith")


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request, which app of the services answers it, and the goal for its p99."""

    name: str
    service: str
    rate: float  # requests a second
    goal_ms: float | None = None
    streamed: bool = False


WORKS = (
    Work("floor", "content", 200.0),
    Work("autocomplete", "content", 200.0, goal_ms=5.0),
    Work("title", "content", 200.0, goal_ms=15.0),
    Work("history", "chat", 200.0, goal_ms=15.0),
    Work("first_word", "chat", 25.0, goal_ms=25.0, streamed=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--titles", type=int, default=50_000)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with benchmark_servers("postgres", "redis", "rabbitmq") as servers:
        spent = uvloop.run(_measure(arguments, servers))
    report = _report(spent)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    _print(report)


Spent = dict[tuple[str, str], list[float]]


async def _measure(arguments: argparse.Namespace, servers: Mapping[ServerKind, str]) -> Spent:
    rows = search_names.entries(arguments.titles)
    title = next(row for row in rows if row.name == "The Matrix")
    spent: Spent = {(work.name, side): [] for work in WORKS for side in SIDES}
    drowned: set[tuple[str, str]] = set()
    async with filled_database(rows, servers) as environment:
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        await populate(environment["SHARED_DATABASE_URL"], arguments.people, 1, today)
        talks = await _talks(environment["SHARED_DATABASE_URL"], environment["JWT_SECRETS"])
        with contextlib.ExitStack() as stack:
            ports = {
                name: stack.enter_context(app_process(module, environment))
                for name, module in (
                    ("content", "services.content"),
                    ("chat", "services.chat"),
                    ("monolith", "monolith"),
                )
            }
            await until_ready(ports["content"], Ask("/readyz"))
            await until_ready(ports["chat"], Ask("/readyz"))
            await until_ready(ports["monolith"], Ask("/api/search?q=matrix"))
            for number in range(arguments.rounds + 1):  # the first round warms up
                texts = search_names.queries(rows, 2000, seed=number)
                asks = {
                    "floor": [Ask("/healthz")],
                    "autocomplete": [Ask(f"/api/autocomplete?q={quote(text)}") for text in texts],
                    "title": [Ask(f"/api/resources/movies/{title.id}")],
                    **talks,
                }
                for work, side in product(WORKS, SIDES):
                    if (work.name, side) in drowned:
                        continue
                    port = ports["monolith" if side == "monolith" else work.service]
                    started = time.perf_counter()
                    found = await load(
                        port, asks[work.name], work.rate, arguments.seconds, streamed=work.streamed
                    )
                    if time.perf_counter() - started > DROWNED_FACTOR * arguments.seconds:
                        drowned.add((work.name, side))
                        spent[work.name, side] = found
                    elif number:
                        spent[work.name, side] += found
    return spent


async def _talks(dsn: str, secret: str) -> dict[str, list[Ask]]:
    """History reads and streamed messages, each of a person in a conversation of theirs."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "SELECT DISTINCT ON (c.user_id) c.user_id, c.id FROM conversations c"
        " JOIN users u ON u.id = c.user_id WHERE u.deleted_at IS NULL AND u.confirmed"
        " AND c.conversation_type = 'single' ORDER BY c.user_id, c.message_count DESC"
    )
    await connection.close()
    histories, messages = [], []
    for row in rows:
        headers = {"Authorization": f"Bearer {_token(str(row['user_id']), secret)}"}
        path = f"/api/chat/conversations/{row['id']}/messages"
        histories.append(Ask(path, headers))
        body = {"message": "Tell me about the old house", "conversation_id": str(row["id"])}
        messages.append(Ask("/api/chat/talk_with/stream", headers, json.dumps(body).encode()))
    return {"history": histories, "first_word": messages}


def _token(user_id: str, secret: str) -> str:
    now = int(time.time())
    claims = {
        "sub": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "iat": now,
        "exp": now + TOKEN_SECONDS,
    }
    return str(jwt.encode(claims, secret, algorithm="HS256"))


def _report(spent: Spent) -> dict[str, Any]:
    figures = {
        f"{side}_{name}_{quantile}": round(value, 3)
        for (name, side), values in spent.items()
        for quantile, value in quantiles(values).items()
    }
    ratios = {
        name.removeprefix("monolith_"): round(
            value / figures[name.replace("monolith", "service")], 2
        )
        for name, value in figures.items()
        if name.startswith("monolith_")
    }
    goals = {
        work.name: {
            "p99_below_ms": work.goal_ms,
            "service_p99_ms": figures[f"service_{work.name}_p99"],
            "is_met": figures[f"service_{work.name}_p99"] < work.goal_ms,
        }
        for work in WORKS
        if work.goal_ms is not None
    }
    return {"figures": figures, "goals": goals, "ratios": {"monolith": ratios}}


def _print(report: Mapping[str, Any]) -> None:
    figures = report["figures"]
    columns = [f"{side} {quantile}" for side in SIDES for quantile in ("median", "p99")]
    table = Table("milliseconds", "a second", *columns, "goal of p99")
    for work in WORKS:
        cells: Sequence[float] = [
            figures[f"{side}_{work.name}_{q}"] for side in SIDES for q in ("median", "p99")
        ]
        goal = report["goals"].get(work.name)
        said = (
            f"< {goal['p99_below_ms']:g}: {'met' if goal['is_met'] else 'MISSED'}" if goal else ""
        )
        table.add_row(work.name, f"{work.rate:g}", *(f"{cell:.2f}" for cell in cells), said)
    Console().print(table)
    Console().print(f"written to {REPORT}")


if __name__ == "__main__":
    main()
