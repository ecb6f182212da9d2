"""What the router's workers have counted per side, read from their admin ports; pure but for the reading."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from migrate.stack.errors import StackError
from migrate.stack.probe import get

Side = Literal["monolith", "service"]
SIDES: tuple[Side, ...] = ("monolith", "service")


@dataclass(frozen=True, slots=True)
class SideCounts:
    """Answers of one side: how many, and how many per bucket of the duration histogram."""

    requests: int = 0
    durations: tuple[int, ...] = ()

    def plus(self, other: SideCounts, sign: int = 1) -> SideCounts:
        longer = max(len(self.durations), len(other.durations))
        pairs = zip(_padded(self.durations, longer), _padded(other.durations, longer), strict=True)
        return SideCounts(
            self.requests + sign * other.requests, tuple(mine + sign * its for mine, its in pairs)
        )


@dataclass(frozen=True, slots=True)
class RouterCounts:
    """Counts of one service's routes by side, over all workers; `bucket_seconds` are upper bounds."""

    sides: Mapping[str, SideCounts] = field(default_factory=dict)
    bucket_seconds: tuple[float, ...] = ()

    def side(self, side: str) -> SideCounts:
        return self.sides.get(side, SideCounts())

    def since(self, earlier: RouterCounts) -> RouterCounts:
        """What was counted between two readings."""
        return RouterCounts(
            {side: self.side(side).plus(earlier.side(side), -1) for side in self.sides},
            self.bucket_seconds,
        )

    @property
    def service_share(self) -> float:
        """Part of the answers that the service gave, 0 to 1; 0 without answers."""
        both = sum(self.side(side).requests for side in SIDES)
        return self.side("service").requests / both if both else 0.0

    def latency_ms(self, side: str, percent: float) -> float | None:
        """A percentile, interpolated within its bucket; None without answers."""
        counts = self.side(side).durations
        total = sum(counts)
        if not total:
            return None
        wanted, seen, lower = total * percent / 100, 0, 0.0
        for bound, count in zip(self.bucket_seconds, counts, strict=False):
            if count and seen + count >= wanted:
                return round((lower + (bound - lower) * (wanted - seen) / count) * 1000, 2)
            seen, lower = seen + count, bound
        return round(lower * 1000, 2)


def _padded(values: Sequence[int], length: int) -> Sequence[int]:
    return (*values, *([0] * (length - len(values))))


def add_up(documents: Sequence[Mapping[str, object]], service: str) -> RouterCounts:
    """The `/stats` documents of all workers, reduced to the routes of one service."""
    sides: dict[str, SideCounts] = {}
    buckets: tuple[float, ...] = ()
    for document in documents:
        bounds, routes = document["bucket_seconds"], document["routes"]
        if not isinstance(bounds, list) or not isinstance(routes, list):
            raise StackError("the router's /stats has another form than expected")
        buckets = tuple(bounds)
        for row in routes:
            if str(row["route"]).startswith(f"{service}."):
                counts = SideCounts(int(row["requests"]), tuple(row["durations"]))
                sides[row["side"]] = sides.get(row["side"], SideCounts()).plus(counts)
    return RouterCounts(sides, buckets)


async def read_counts(
    host: str, admin_ports: Sequence[int], token: str, service: str
) -> RouterCounts:
    """Ask every worker; raises StackError when one does not answer."""
    answers = await asyncio.gather(
        *(get(host, port, "/stats", token=token) for port in admin_ports)
    )
    for port, answer in zip(admin_ports, answers, strict=True):
        if answer.status != 200:
            raise StackError(
                f"the router's admin port {port} answered {answer.status or 'nothing'}",
                hint="see what runs: migrate status",
            )
    return add_up([json.loads(answer.body) for answer in answers], service)
