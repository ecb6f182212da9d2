"""`migrate top`: what goes through the router right now, per route and side."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import httpx
import typer
from rich import box
from rich.live import Live
from rich.table import Table

from migrate.context import Context, get_context, run
from migrate.report import console, print_json
from migrate.traffic import Reading, RouteTraffic, SideTraffic, between, read
from shared.errors import PeerError

#: Longest wait for one worker's counters, in seconds.
TIMEOUT_SECONDS = 2.0
COLUMNS = (
    "route", "req/s", "service",
    "monolith req/s", "5xx", "p50", "p99", "service req/s", "5xx", "p50", "p99", "in flight",
)  # fmt: skip


class RouterUnreachableError(PeerError):
    """No worker's admin port answers."""


def admin_addresses(context: Context) -> tuple[str, ...]:
    """Admin addresses of every worker: ROUTER_ADMIN_URLS, comma separated."""
    found = context.setting("ROUTER_ADMIN_URLS") or context.require(
        "ROUTER_ADMIN_URL", "the admin address of a router, e.g. http://127.0.0.1:9000"
    )
    return tuple(part.strip().rstrip("/") for part in found.split(",") if part.strip())


async def read_router(addresses: Sequence[str], token: str) -> Reading:
    """The counters of every worker that answers; raises RouterUnreachableError when none does."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        timeout=TIMEOUT_SECONDS, headers=headers, trust_env=False
    ) as client:
        answers = await asyncio.gather(
            *(client.get(f"{address}/stats") for address in addresses), return_exceptions=True
        )
    good = [row for row in answers if isinstance(row, httpx.Response) and row.status_code == 200]
    if not good:
        statuses = {row.status_code for row in answers if isinstance(row, httpx.Response)}
        reason = f"answered {sorted(statuses)}; check ADMIN_TOKEN" if statuses else "did not answer"
        raise RouterUnreachableError(
            f"no admin port of the router could be read: {', '.join(addresses)} {reason}"
            " (`migrate status` shows what runs)"
        )
    return read([answer.json() for answer in good])


def top(
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.2, max=60, help="Seconds between readings.")
    ] = 1.0,
    count: Annotated[
        int, typer.Option("--count", "-n", min=0, help="Readings to show; 0 goes on until Ctrl-C.")
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One reading as JSON instead of a live table.")
    ] = False,
) -> None:
    """Rate, share, errors and latency per route by side, live."""
    context = get_context()
    token = context.require("ADMIN_TOKEN", "the token of the router's admin port")
    addresses = admin_addresses(context)
    if as_json:
        print_json(run(_once(addresses, token, interval)))
        return
    run(_watch(addresses, token, interval, count))


async def _once(addresses: Sequence[str], token: str, interval: float) -> dict[str, Any]:
    earlier = await read_router(addresses, token)
    await asyncio.sleep(interval)
    later = await read_router(addresses, token)
    return {
        "seconds": round(later.at - earlier.at, 3),
        "held": later.held,
        "failures": dict(later.failures),
        "routes": [asdict(row) for row in between(earlier, later)],
    }


async def _watch(addresses: Sequence[str], token: str, interval: float, count: int) -> None:
    earlier = await read_router(addresses, token)
    shown = 0
    with Live(console=console, auto_refresh=False) as live:
        while count == 0 or shown < count:
            await asyncio.sleep(interval)
            later = await read_router(addresses, token)
            live.update(traffic_table(between(earlier, later), later), refresh=True)
            earlier, shown = later, shown + 1


def traffic_table(rows: Sequence[RouteTraffic], reading: Reading) -> Table:
    """The live table of one interval."""
    total = sum(row.rate for row in rows)
    table = Table(
        title=f"{total:.0f} requests a second, {reading.held} held",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        share = "" if row.service_percent is None else f"{row.service_percent:.1f}%"
        monolith = row.sides.get("monolith", SideTraffic())
        service = row.sides.get("service", SideTraffic())
        in_flight = sum(side.in_flight for side in row.sides.values())
        table.add_row(
            row.route, f"{row.rate:.1f}", share, *_cells(monolith), *_cells(service), str(in_flight)
        )
    return table


def _cells(side: SideTraffic) -> tuple[str, str, str, str]:
    if not side.rate:
        return "", "", "", ""
    return (
        f"{side.rate:.1f}",
        f"{side.error_percent:.1f}%",
        _milliseconds(side.p50_ms),
        _milliseconds(side.p99_ms),
    )


def _milliseconds(value: float | None) -> str:
    if value is None:
        return ""
    return "> 120 s" if math.isinf(value) else f"≤ {value:g} ms"
