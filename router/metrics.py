"""Counters of the data plane as plain numbers, and their Prometheus text; knows no requests.

Counting costs a few additions per request; the text is made when somebody asks for it. Every label has a
closed set of values: routes of the manifest, two sides, known methods, status classes, causes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

#: Upper bounds of the duration histogram, in seconds.
BUCKETS: Final[tuple[float, ...]] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
)  # fmt: skip


class RouteSide:
    """Counts of one route answered by one side. Durations in seconds, by BUCKETS."""

    __slots__ = ("by_method", "duration_sum", "durations", "in_flight", "route", "side")

    def __init__(self, route: str, side: str) -> None:
        self.route = route
        self.side = side
        self.by_method: dict[str, list[int]] = {}  # counts by class of status, 0 to 5
        self.durations = [0] * (len(BUCKETS) + 1)
        self.duration_sum = 0.0
        self.in_flight = 0

    def count(self, method: str, status: int, seconds: float) -> None:
        """One answered request; `status` is kept by its class."""
        counts = self.by_method.get(method)
        if counts is None:
            counts = self.by_method[method] = [0, 0, 0, 0, 0, 0]
        counts[status // 100] += 1
        place = 0
        while place < len(BUCKETS) and seconds > BUCKETS[place]:
            place += 1
        self.durations[place] += 1
        self.duration_sum += seconds

    @property
    def by_method_status(self) -> dict[tuple[str, int], int]:
        """Counts by method and class of status, those that are not 0."""
        return {
            (method, status): count
            for method, counts in self.by_method.items()
            for status, count in enumerate(counts)
            if count
        }

    @property
    def requests(self) -> int:
        return sum(self.by_method_status.values())


class Metrics:
    """All counters of one worker."""

    def __init__(self) -> None:
        self._sides: dict[tuple[str, str], RouteSide] = {}
        self.causes: dict[str, int] = {}
        self.counters: dict[tuple[str, str], int] = {}
        self.gauges: dict[tuple[str, str], Callable[[], float]] = {}

    def side(self, route: str, side: str) -> RouteSide:
        """The counts of a route at a side ("router" for answers of its own)."""
        key = (route, side)
        found = self._sides.get(key)
        if found is None:
            found = self._sides[key] = RouteSide(route, side)
        return found

    def cause(self, cause: str) -> None:
        """One request that ended badly."""
        self.causes[cause] = self.causes.get(cause, 0) + 1

    def add(self, name: str, label: str = "", amount: int = 1) -> None:
        """Raise a named counter; `label` is a `key="value"` pair from a closed set."""
        key = (name, label)
        self.counters[key] = self.counters.get(key, 0) + amount

    @property
    def sides(self) -> Iterable[RouteSide]:
        return self._sides.values()

    def gauge(self, name: str, read: Callable[[], float], label: str = "") -> None:
        """A value that is read when somebody asks; `label` as for `add`."""
        self.gauges[name, label] = read

    def stats(self) -> list[dict[str, object]]:
        """Counters by route and side as plain data, for `/stats`."""
        return [
            {
                "route": row.route,
                "side": row.side,
                "requests": row.requests,
                "by_status": _by_status(row),
                "in_flight": row.in_flight,
                "durations": list(row.durations),
                "duration_sum": row.duration_sum,
            }
            for row in self._sides.values()
        ]

    def text(self) -> str:
        """Prometheus text format 0.0.4."""
        lines = [
            "# TYPE router_requests_total counter",
            *(
                f'router_requests_total{{route="{row.route}",side="{row.side}",method="{method}"'
                f',status="{status}xx"}} {count}'
                for row in self._sides.values()
                for (method, status), count in row.by_method_status.items()
            ),
            "# TYPE router_request_seconds histogram",
            *(line for row in self._sides.values() for line in _histogram(row)),
            "# TYPE router_in_flight gauge",
            *(
                f'router_in_flight{{route="{row.route}",side="{row.side}"}} {row.in_flight}'
                for row in self._sides.values()
            ),
            "# TYPE router_failures_total counter",
            *(f'router_failures_total{{cause="{name}"}} {n}' for name, n in self.causes.items()),
        ]
        typed: set[str] = set()
        for (name, label), count in sorted(self.counters.items()):
            if name not in typed:
                lines.append(f"# TYPE {name} counter")
                typed.add(name)
            lines.append(f"{name}{{{label}}} {count}" if label else f"{name} {count}")
        for (name, label), read in sorted(self.gauges.items()):
            if name not in typed:
                lines.append(f"# TYPE {name} gauge")
                typed.add(name)
            lines.append(f"{name}{{{label}}} {read():.10g}" if label else f"{name} {read():.10g}")
        return "\n".join(lines) + "\n"


def _by_status(row: RouteSide) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, status), count in row.by_method_status.items():
        found[f"{status}xx"] = found.get(f"{status}xx", 0) + count
    return found


def _histogram(row: RouteSide) -> Iterable[str]:
    labels = f'route="{row.route}",side="{row.side}"'
    total = 0
    for bound, count in zip((*BUCKETS, float("inf")), row.durations, strict=True):
        total += count
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        yield f'router_request_seconds_bucket{{{labels},le="{le}"}} {total}'
    yield f"router_request_seconds_sum{{{labels}}} {row.duration_sum:.6f}"
    yield f"router_request_seconds_count{{{labels}}} {total}"
