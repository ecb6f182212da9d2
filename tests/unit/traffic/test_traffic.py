"""Rates, shares and percentiles between two readings of the router's counters."""

from __future__ import annotations

from typing import Any

from migrate.traffic import between, percentile_ms, read

BOUNDS = [0.001, 0.01, 0.1]


def row(
    route: str, side: str, durations: list[int], errors: int = 0, in_flight: int = 0
) -> dict[str, Any]:
    return {
        "route": route,
        "side": side,
        "requests": sum(durations),
        "by_status": {"2xx": sum(durations) - errors, "5xx": errors},
        "in_flight": in_flight,
        "durations": durations,
        "duration_sum": 0.0,
    }


def document(at: float, *rows: dict[str, Any], held: int = 0, **failures: int) -> dict[str, Any]:
    return {
        "instance": "router",
        "time": at,
        "bucket_seconds": BOUNDS,
        "counts": {"held": held},
        "routes": list(rows),
        "failures": failures,
    }


def test_counters_of_all_workers_are_added_up() -> None:
    one = document(10.0, row("a.b", "service", [1, 2, 0, 0]), held=1, timeout=1)
    two = document(10.5, row("a.b", "service", [1, 0, 0, 3], errors=2), held=2, timeout=4)
    reading = read([one, two])
    counts = reading.counts["a.b", "service"]
    assert (counts.requests, counts.errors, counts.durations) == (7, 2, (2, 2, 0, 3))
    assert (reading.at, reading.held, reading.failures) == (10.5, 3, {"timeout": 5})


def test_rate_share_and_errors_are_those_of_the_interval() -> None:
    earlier = read([document(10.0, row("a.b", "service", [5, 0, 0, 0], errors=5))])
    later = read(
        [
            document(
                12.0,
                row("a.b", "service", [5, 6, 0, 0], errors=8),
                row("a.b", "monolith", [0, 0, 18, 0], in_flight=4),
                row("a.b", "router", [6, 0, 0, 0]),
                row("c.d", "monolith", [0, 0, 0, 0]),
            )
        ]
    )
    (traffic,) = between(earlier, later)
    assert (traffic.route, traffic.rate) == ("a.b", 15.0)
    assert traffic.service_percent == 25.0
    service, monolith = traffic.sides["service"], traffic.sides["monolith"]
    assert (service.rate, service.error_percent, service.p50_ms) == (3.0, 50.0, 10.0)
    assert (monolith.p99_ms, monolith.in_flight) == (100.0, 4)


def test_a_replaced_worker_does_not_give_negative_rates() -> None:
    earlier = read([document(10.0, row("a.b", "service", [50, 0, 0, 0]))])
    later = read([document(11.0, row("a.b", "service", [3, 0, 0, 0]))])
    (traffic,) = between(earlier, later)
    assert traffic.rate == 3.0


def test_a_percentile_is_the_bound_of_its_bucket() -> None:
    assert percentile_ms([50, 49, 1, 0], BOUNDS, 50) == 1.0
    assert percentile_ms([50, 49, 1, 0], BOUNDS, 99) == 10.0
    assert percentile_ms([0, 0, 0, 1], BOUNDS, 50) == float("inf")
    assert percentile_ms([0, 0, 0, 0], BOUNDS, 50) is None
