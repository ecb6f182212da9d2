"""The report of a demonstration: its form in JSON, and the table that people read."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from migrate.demo.measurements import LoadResult

#: A flip must have reached every live router by then.
PROPAGATION_SECONDS = 1.0
BLOCKS = "▁▂▃▄▅▆▇█"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Model):
    """One change of the flag and the time after it. `applied_ms` is by router instance, from commit to report."""

    percent: float
    is_change: bool
    version: int
    applied_ms: dict[str, float]
    slowest_ms: float
    seconds: float
    requests: int
    failed: int
    requests_per_second: float
    service_share: float
    latency_ms: dict[str, dict[str, float | None]]  # side -> p50, p99


class Point(_Model):
    """One look at the running load: seconds since its start, both sides' answers per second."""

    at: float
    percent: float
    requests_per_second: float
    failed: int
    service_share: float


class DemoReport(_Model):
    """Everything that the demonstration measured. `requests` and `failed` are the clients' own counts."""

    service: str
    requests: int
    failed: int
    differing: int
    seconds: float
    requests_per_second: float
    clients: int
    router_instances: int
    steps: tuple[Step, ...]
    timeline: tuple[Point, ...]
    latency_ms: dict[str, dict[str, float | None]]
    propagation_ms: dict[str, float]
    setup_seconds: float
    load: LoadResult

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the demonstration did not show what it should; empty when nobody noticed anything."""
        found = [f"{self.failed} requests failed"] if self.failed else []
        if self.differing:
            found.append(f"{self.differing} answers differed between the sides")
        for step in self.steps:
            if step.percent in (0.0, 100.0) and abs(step.service_share - step.percent / 100) > 0.01:
                found.append(
                    f"at {step.percent:g} percent the service gave {step.service_share:.1%}"
                )
            if step.slowest_ms > 1000 * PROPAGATION_SECONDS:
                found.append(f"at {step.percent:g} percent a router took {step.slowest_ms:.0f} ms")
        return tuple(found)


def sparkline(shares: Sequence[float]) -> str:
    """Shares from 0 to 1 as a row of blocks."""
    return "".join(BLOCKS[min(len(BLOCKS) - 1, int(share * len(BLOCKS)))] for share in shares)


def print_report(report: DemoReport, console: Console) -> None:
    """The table of steps, the course of the share, and the totals."""
    table = Table(title=f"{report.service}: share of the service under load", title_justify="left")
    for column in (
        "percent", "every router after ms", "requests", "failed", "req/s", "answered by service",
        "over time", "monolith p50 / p99 ms", "service p50 / p99 ms",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    start = 0.0
    for step in report.steps:
        points = [p.service_share for p in report.timeline if start <= p.at < start + step.seconds]
        start += step.seconds
        table.add_row(
            f"{step.percent:g}",
            f"{step.slowest_ms:.1f}",
            str(step.requests),
            str(step.failed),
            f"{step.requests_per_second:.0f}",
            f"{step.service_share:.1%}",
            sparkline(points),
            _pair(step.latency_ms.get("monolith")),
            _pair(step.latency_ms.get("service")),
        )
    console.print(table)
    for failure in report.load.failures[:10]:
        console.print(f"  failed: {failure.route} {failure.target}: {failure.reason}", markup=False)
    ends = report.latency_ms["client"]
    console.print(
        f"{report.requests} requests in {report.seconds:.0f} s, {report.failed} failed, "
        f"{report.differing} answers differed between the sides; "
        f"clients saw p50 {ends['p50']} ms, p99 {ends['p99']} ms; "
        f"every router had a flip after {report.propagation_ms['slowest']:.0f} ms at most"
    )


def _pair(latency: dict[str, float | None] | None) -> str:
    if not latency or latency.get("p50") is None:
        return "-"
    return f"{latency['p50']:.1f} / {latency['p99']:.1f}"
