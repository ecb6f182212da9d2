"""The access log: one JSON line per logged request, sampled, bounded, without anything secret.

No header, no body and no value of a query is ever written: of a query only the names of its parameters.
Failures are always logged, up to a rate; lines that cannot be written in time are dropped and counted.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from typing import Any, TextIO

from router.exchange import Exchange
from router.failure import Cause, Refusal
from router.metrics import Metrics

#: Lines that wait for the writer, and lines of failures per second.
MAX_WAITING_LINES = 10_000
MAX_FAILURES_PER_SECOND = 200
#: Pause between two writes, in seconds.
FLUSH_SECONDS = 0.25


class AccessLog:
    """Collects lines on the loop and writes them in a thread, so a slow reader stops nobody."""

    def __init__(self, stream: TextIO, sample: float, instance: str, metrics: Metrics) -> None:
        self._stream = stream
        self._sample = sample
        self._until_next = self._gap()
        self._instance = instance
        self._metrics = metrics
        self._lines: list[str] = []
        self._second = 0
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_writing(), name="access-log")

    async def stop(self) -> None:
        """Write what waits and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        await self._flush()

    def finished(self, exchange: Exchange, now: float) -> None:
        """Log a request that has ended, when it is in the sample or failed."""
        if exchange.cause is Cause.NONE and exchange.status < 500:
            self._until_next -= 1
            if self._until_next == 0:
                self._until_next = self._gap()
                self._add(_entry(exchange, now))
        elif self._may_log_failure():
            self._add(_entry(exchange, now))

    def _gap(self) -> int:
        """Requests up to the next logged one: one draw for all of them, instead of one draw each."""
        if self._sample >= 1.0:
            return 1
        if self._sample <= 0.0:
            return -1
        drawn = math.log(1.0 - random.random()) / math.log(1.0 - self._sample)  # noqa: S311 - a sample
        return 1 + int(drawn)

    def refused_head(self, refusal: Refusal, status: int, address: str) -> None:
        """Log bytes that were no request."""
        if self._may_log_failure():
            self._add({"status": status, "cause": str(refusal.cause), "address": address})

    def _may_log_failure(self) -> bool:
        second = int(time.time())
        if second != self._second:
            self._second, self._failures = second, 0
        self._failures += 1
        if self._failures > MAX_FAILURES_PER_SECOND:
            self._metrics.add("router_log_lines_dropped_total")
            return False
        return True

    def _add(self, entry: dict[str, Any]) -> None:
        if len(self._lines) >= MAX_WAITING_LINES:
            self._metrics.add("router_log_lines_dropped_total")
            return
        head = {"event": "access", "time": _now(), "instance": self._instance}
        self._lines.append(json.dumps(head | entry, separators=(",", ":")))

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        if self._lines:
            text = "\n".join(self._lines) + "\n"
            self._lines = []
            await asyncio.to_thread(self._write, text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._metrics.add("router_log_lines_dropped_total")


def _entry(exchange: Exchange, now: float) -> dict[str, Any]:
    head, decision = exchange.head, exchange.decision
    names = [part.partition(b"=")[0] for part in head.query[1:].split(b"&")] if head.query else []
    return {
        "request_id": exchange.request_id.decode("latin-1"),
        "method": exchange.method,
        "path": head.path,
        "query": [name.decode("latin-1")[:40] for name in names[:20]],
        "route": exchange.route.spec.name,
        "side": decision.side if decision is not None else "router",
        "reason": decision.reason if decision is not None else None,
        "status": exchange.status,
        "cause": str(exchange.cause),
        "attempts": exchange.attempt + 1,
        "seconds": round(now - exchange.started, 6),
        "request_bytes": exchange.request_bytes,
        "response_bytes": exchange.response_bytes,
        "address": head.address,
    }


def _now() -> str:
    seconds = time.time()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"
