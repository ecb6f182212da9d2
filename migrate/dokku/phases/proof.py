"""The proof of strangulation: no route is left at the monolith, and nobody asks it anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from shared.errors import PeerError
from shared.manifest import Manifest

#: Longest wait for the router's counters, in seconds.
ASK_SECONDS = 5.0
#: Between two looks during the quiet time, in seconds; a request in between ends the wait early.
LOOK_SECONDS = 15.0

#: The router's name for paths that no route of the manifest matches.
UNMATCHED = "unmatched"


class CountersUnreachableError(PeerError):
    """The router does not show its counters, so nothing can be proven."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Requests that went to the monolith, by (worker, route)."""

    monolith: Mapping[tuple[str, str], int]
    workers: frozenset[str]


def state_problems(manifest: Manifest, services: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the control store still gives to the monolith; pure."""
    rows = {str(row["service"]): row for row in services}
    found: list[str] = []
    for name, service in manifest.services.items():
        row = rows.get(name)
        if row is None:
            found.append(f"{name} is not in the control store; run `migrate db migrate`")
            continue
        if float(row["percent_min"]) != 100.0:
            found.append(
                f"{name} has routes at {float(row['percent_min']):g} percent; run its phase first"
            )
        if service.placement == "own" and row["data"] not in {"own", "final"}:
            found.append(
                f"the tables of {name} are still {row['data']}; run `migrate cutover {name}`"
            )
    return tuple(found)


def traffic_problems(before: Counters, after: Counters) -> tuple[str, ...]:
    """Requests that reached the monolith between two readings; pure."""
    found: list[str] = []
    if missing := before.workers - after.workers:
        found.append(
            f"router workers went away meanwhile ({', '.join(sorted(missing))}):"
            " their counts are unknown; start again"
        )
    for (worker, route), count in sorted(after.monolith.items()):
        more = count - before.monolith.get((worker, route), 0)
        if more:
            what = "unknown paths" if route == UNMATCHED else route
            found.append(f"{more} request(s) of {what} went to the monolith")
    return tuple(found)


def read_counters(answer: Mapping[str, Any]) -> Counters:
    """The router's `/stats?scope=router` as counters; pure.

    Unknown paths that got a 4xx do not count: a public host is asked for nonsense all day long, and an
    old route that nobody listed would have served somebody.
    """
    monolith: dict[tuple[str, str], int] = {}
    for worker in answer["workers"]:
        for row in worker["routes"]:
            if row["side"] == "monolith":
                route = str(row["route"])
                refused = int(row["by_status"].get("4xx", 0)) if route == UNMATCHED else 0
                monolith[str(worker["instance"]), route] = int(row["requests"]) - refused
    return Counters(monolith, frozenset(str(worker["instance"]) for worker in answer["workers"]))


async def ask_router(url: str, token: str) -> Counters:
    """Read the counters of all workers from the admin port."""
    try:
        async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as client:
            answer = await client.get(
                f"{url.rstrip('/')}/stats",
                params={"scope": "router"},
                headers={"Authorization": f"Bearer {token}"},
            )
            answer.raise_for_status()
            return read_counters(answer.json())
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise CountersUnreachableError(
            f"the router's counters at {url} cannot be read ({type(error).__name__});"
            " ROUTER_ADMIN_URL and ADMIN_TOKEN must name its admin port"
        ) from error


async def watch_quiet(
    read: Callable[[], Awaitable[Counters]],
    seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[str, ...]:
    """Problems seen within the time; returns at the first one."""
    first = await read()
    waited = 0.0
    while waited < seconds:
        step = min(LOOK_SECONDS, seconds - waited)
        await sleep(step)
        waited += step
        if problems := traffic_problems(first, await read()):
            return problems
    return ()
