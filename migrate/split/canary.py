"""A writer of the tool's own that a switch must not hurt: every acknowledged row is looked for afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from migrate.split.connection import CONNECTION_LOST, Connection, close
from migrate.split.context import SplitContext
from migrate.split.model import SplitError
from migrate.split.names import Side
from migrate.split.scaffold import TABLES_MOVED
from migrate.split.switch import SwitchContext
from migrate.steps import Check, Step, done, needed

#: Pause between two writes, in seconds: 100 a second at most, invisible beside real traffic.
WRITE_SECONDS = 0.01
#: Pause before the other side is tried after a refusal, in seconds.
REFUSED_SECONDS = 0.002
#: Ids handed out by one canary; the next one starts after them.
BLOCK = 10_000_000


class CanaryLostError(SplitError):
    """Rows whose commit was acknowledged are not there: never seen, and the reason for this writer."""

    def __init__(self, side: Side, ids: list[int]) -> None:
        super().__init__(
            f"{len(ids)} rows that were acknowledged before are not on the {side} database"
            f" (ids {ids[:5]} …): stop the writers and run `migrate db verify` at once"
        )
        self.side = side
        self.ids = ids


@dataclass(slots=True)
class CanaryReport:
    """What the canary saw. Milliseconds; `unknown` commits lost their connection."""

    acknowledged: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    refusals: int = 0
    errors: list[str] = field(default_factory=list)
    slowest_ms: float = 0.0


class Canary:
    """Writes numbered rows through a switch as a well-behaved service would."""

    def __init__(self, context: SplitContext, side: Side, switch_number: int) -> None:
        self._context = context
        self._side = side
        self._next_id = 0
        self._writer = f"switch {switch_number}"
        self._connections: dict[Side, Connection] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self.report = CanaryReport()

    async def start(self) -> None:
        """Connect to both sides and begin to write."""
        for side in Side:
            self._connections[side] = await self._context.session(side, "canary")
        connection = self._connections[self._side]
        table = self._context.names.canary.sql
        last = await connection.fetchval(f"SELECT coalesce(max(id), 0) FROM {table}")
        self._next_id = (last // BLOCK + 1) * BLOCK
        self._task = asyncio.create_task(self._write(), name="canary")

    async def stop(self) -> CanaryReport:
        """End after the write under way."""
        self._stopped.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(5.0):
                    await self._task
            self._task = None
        for connection in self._connections.values():
            await close(connection)
        self._connections.clear()
        return self.report

    async def _write(self) -> None:
        while not self._stopped.is_set():
            self._next_id += 1
            await self._one(self._next_id)
            await asyncio.sleep(WRITE_SECONDS)

    async def _one(self, number: int) -> None:
        started = time.monotonic()
        statement = f"INSERT INTO {self._context.names.canary.sql} (id, writer) VALUES ($1, $2)"
        while not self._stopped.is_set():
            try:
                await self._connections[self._side].execute(statement, number, self._writer)
            except asyncpg.PostgresError as error:
                if error.sqlstate != TABLES_MOVED:
                    self.report.errors.append(f"{error.sqlstate}: {error}")
                    return
                self.report.refusals += 1
                self._side = self._side.other
                await asyncio.sleep(REFUSED_SECONDS)
            except (*CONNECTION_LOST, TimeoutError) as error:
                self.report.unknown.add(number)
                self.report.errors.append(type(error).__name__)
                await self._reconnect()
                return
            else:
                self.report.acknowledged.add(number)
                waited = (time.monotonic() - started) * 1000.0
                self.report.slowest_ms = max(self.report.slowest_ms, waited)
                return

    async def _reconnect(self) -> None:
        with contextlib.suppress(SplitError):
            self._connections[self._side] = await self._context.session(self._side, "canary")

    async def missing_on(self, side: Side) -> list[int]:
        """Acknowledged ids that are not there."""
        connection = await self._context.control(side)
        rows = await connection.fetch(
            f"SELECT id FROM {self._context.names.canary.sql} WHERE id = ANY ($1::bigint[])",
            list(self.report.acknowledged),
        )
        return sorted(self.report.acknowledged - {row["id"] for row in rows})


class Proof(Step[SwitchContext]):
    """Everything that the canary was told is committed is on both sides."""

    name = "proof"
    title = "find every acknowledged row of the canary on both sides"

    async def check(self, context: SwitchContext) -> Check:
        if context.canary is None:
            return done("an earlier run had the canary")
        return needed()

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        canary = context.canary
        if canary is None:
            return {}
        report = await canary.stop()
        for side in (context.direction.target, context.direction.source):
            missing = await canary.missing_on(side)
            for _ in range(50):  # the old owner follows: the last rows are on their way
                if not missing or side is context.direction.target:
                    break
                await asyncio.sleep(0.1)
                missing = await canary.missing_on(side)
            if missing:
                raise CanaryLostError(side, missing)
        context.canary = None
        return {
            "acknowledged": len(report.acknowledged),
            "lost": 0,
            "unknown": len(report.unknown),
            "refusals": report.refusals,
            "errors": report.errors[:5],
            "slowest_ms": round(report.slowest_ms, 2),
        }
