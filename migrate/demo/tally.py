"""Counts of one load process while it runs."""

from __future__ import annotations

import time
from collections import Counter

from migrate.demo.measurements import Failure, LoadResult, Sample, latency_summary
from migrate.demo.workload import Call

KEPT_FAILURES = 50


class Tally:
    """Totals, latencies, the first failures, and the first answer to every fixed request."""

    def __init__(self) -> None:
        self._begun_at = time.monotonic()
        self._sent = 0
        self._answered = 0
        self._failed = 0
        self._differing = 0
        self._by_route: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._failures: list[Failure] = []
        self._first_answers: dict[str, bytes] = {}

    def started(self) -> None:
        self._sent += 1

    def ended(self, call: Call, request_id: str, seconds: float, fault: str | None) -> None:
        """One request has its answer, or will never have one."""
        self._answered += 1
        self._by_route[call.route] += 1
        self._latencies.append(seconds)
        if fault is not None:
            self._failed += 1
            self._keep(call, request_id, fault)

    def compare(self, target: str, digest: bytes) -> None:
        """Note when a fixed request is answered otherwise than the first time."""
        if self._first_answers.setdefault(target, digest) != digest:
            self._differing += 1
            self._keep(Call("content", "GET", target), "", "differs from the first answer")

    def sample(self) -> Sample:
        return Sample(
            at=time.time(),
            sent=self._sent,
            answered=self._answered,
            failed=self._failed,
            in_flight=self._sent - self._answered,
        )

    def result(self, clients: int, connects: int) -> LoadResult:
        return LoadResult(
            seconds=round(time.monotonic() - self._begun_at, 3),
            requests=self._sent,
            failed=self._failed + (self._sent - self._answered),
            differing=self._differing,
            connects=connects,
            clients=clients,
            by_route=dict(sorted(self._by_route.items())),
            latencies_ms=latency_summary(self._latencies),
            slowest_ms=round(max(self._latencies, default=0.0) * 1000, 2),
            failures=tuple(self._failures),
        )

    def _keep(self, call: Call, request_id: str, reason: str) -> None:
        if len(self._failures) < KEPT_FAILURES:
            self._failures.append(
                Failure(
                    at=time.time(),
                    route=call.route,
                    target=call.target,
                    reason=reason,
                    request_id=request_id,
                )
            )
