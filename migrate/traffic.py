"""Rates, shares and percentiles between two readings of the router's counters; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters of one route at one side since the workers started. `durations` by bucket."""

    requests: int = 0
    errors: int = 0  # answers with 5xx
    in_flight: int = 0
    durations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of all workers added up. `at` in Unix seconds, `bounds` in seconds."""

    at: float
    bounds: tuple[float, ...]
    counts: Mapping[tuple[str, str], Counts]
    failures: Mapping[str, int]
    held: int


@dataclass(frozen=True, slots=True)
class SideTraffic:
    """One side of a route between two readings; percentiles are upper bounds of their bucket, in ms."""

    rate: float = 0.0
    error_percent: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class RouteTraffic:
    """One route between two readings. `service_percent` is None without requests."""

    route: str
    rate: float
    service_percent: float | None
    sides: Mapping[str, SideTraffic] = field(default_factory=dict)


def read(documents: Sequence[Mapping[str, Any]]) -> Reading:
    """The `/stats` documents of all workers as one reading."""
    counts: dict[tuple[str, str], Counts] = {}
    failures: dict[str, int] = {}
    bounds: tuple[float, ...] = ()
    held, at = 0, 0.0
    for document in documents:
        bounds = tuple(document["bucket_seconds"])
        at = max(at, float(document["time"]))
        held += int(document["counts"].get("held", 0))
        for name, number in document["failures"].items():
            failures[name] = failures.get(name, 0) + int(number)
        for row in document["routes"]:
            key = (str(row["route"]), str(row["side"]))
            old = counts.get(key, Counts(durations=(0,) * len(row["durations"])))
            counts[key] = Counts(
                old.requests + int(row["requests"]),
                old.errors + int(row["by_status"].get("5xx", 0)),
                old.in_flight + int(row["in_flight"]),
                tuple(a + int(b) for a, b in zip(old.durations, row["durations"], strict=True)),
            )
    return Reading(at, bounds, counts, failures, held)


def between(earlier: Reading, later: Reading) -> tuple[RouteTraffic, ...]:
    """Every route that had requests or has some in flight, the busiest first."""
    seconds = max(later.at - earlier.at, 0.001)
    routes: dict[str, dict[str, tuple[int, SideTraffic]]] = {}
    for (route, side), now in later.counts.items():
        before = earlier.counts.get((route, side), Counts(durations=(0,) * len(now.durations)))
        requests = now.requests - before.requests
        if requests < 0:  # a worker was replaced in between: its counters began anew
            before, requests = Counts(durations=(0,) * len(now.durations)), now.requests
        if not requests and not now.in_flight:
            continue
        durations = [a - b for a, b in zip(now.durations, before.durations, strict=True)]
        traffic = SideTraffic(
            requests / seconds,
            100 * (now.errors - before.errors) / requests if requests else 0.0,
            percentile_ms(durations, later.bounds, 50),
            percentile_ms(durations, later.bounds, 99),
            now.in_flight,
        )
        routes.setdefault(route, {})[side] = (requests, traffic)
    rows = [_route(name, sides, seconds) for name, sides in routes.items()]
    return tuple(sorted(rows, key=lambda row: (-row.rate, row.route)))


def _route(name: str, sides: Mapping[str, tuple[int, SideTraffic]], seconds: float) -> RouteTraffic:
    answered = {side: requests for side, (requests, _) in sides.items() if side != "router"}
    total = sum(answered.values())
    return RouteTraffic(
        name,
        sum(requests for requests, _ in sides.values()) / seconds,
        100 * answered.get("service", 0) / total if total else None,
        {side: traffic for side, (_, traffic) in sides.items()},
    )


def percentile_ms(
    durations: Sequence[int], bounds: Sequence[float], percent: float
) -> float | None:
    """The upper bound of the bucket that a percentile falls into; None without requests."""
    total = sum(durations)
    if total <= 0:
        return None
    seen = 0
    for bound, count in zip((*bounds, float("inf")), durations, strict=True):
        seen += count
        if seen >= total * percent / 100:
            return bound * 1000
    return None
