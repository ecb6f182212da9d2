"""What a load run counted: requests, failures, latencies; plain data between the load and its parent."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Failure(_Model):
    """One request that did not get the answer that the contract promises. `at` is Unix seconds."""

    at: float
    route: str
    target: str
    reason: str
    request_id: str


class Sample(_Model):
    """Running totals, sent by the load a few times a second."""

    at: float
    sent: int
    answered: int
    failed: int
    in_flight: int


class LoadResult(_Model):
    """Totals of a whole run. `differing` are fixed answers that changed; `latencies_ms` as percentiles."""

    seconds: float
    requests: int
    failed: int
    differing: int
    connects: int
    clients: int
    by_route: dict[str, int]
    latencies_ms: dict[str, float]
    slowest_ms: float
    failures: tuple[Failure, ...]


class Line(_Model):
    """One line of the load's output: exactly one of the fields."""

    ready: int | None = None  # clients that have signed up
    sample: Sample | None = None
    result: LoadResult | None = None


PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile of values in ascending order; 0 without values."""
    if not ordered:
        return 0.0
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[min(len(ordered), int(rank)) - 1]


def latency_summary(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and p99.9 in milliseconds."""
    ordered = sorted(seconds)
    return {
        f"p{percent:g}": round(percentile(ordered, percent) * 1000, 2) for percent in PERCENTILES
    }
