"""Waits until every live instance has applied a version of the control store."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from shared.control.errors import BarrierTimeoutError
from shared.control.instances import APPLIED_CHANNEL, list_instances
from shared.control.model import Change, Instance
from shared.control.store import ControlStore

#: Pause between two looks when no notification arrives, in seconds.
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Applied:
    """How long one instance took, by the database's clock, from commit to report."""

    instance: str
    kind: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BarrierResult:
    """Every live instance has `version`; `lost` did not report lately and were not waited for."""

    version: int
    applied: tuple[Applied, ...]
    lost: tuple[str, ...]

    @property
    def slowest_seconds(self) -> float:
        """Time until the last live instance had the version; 0 without instances."""
        return max((entry.seconds for entry in self.applied), default=0.0)


def judge(
    version: int, instances: tuple[Instance, ...]
) -> tuple[tuple[Instance, ...], tuple[str, ...]]:
    """(instances still waited for, ids of lost ones): a lost one counts only if it is behind."""
    waiting = tuple(row for row in instances if row.is_live and row.applied_version < version)
    lost = tuple(row.id for row in instances if not row.is_live and row.applied_version < version)
    return waiting, lost


async def wait_until_applied(
    store: ControlStore,
    change: Change,
    *,
    timeout_seconds: float = 5.0,
    kind: str | None = None,
) -> BarrierResult:
    """Wait for all live instances (of `kind`, or of any); raises BarrierTimeoutError with names."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    wake = asyncio.Event()
    async with store.connection() as listener:

        def on_applied(_connection: object, _pid: int, _channel: str, _payload: object) -> None:
            wake.set()

        await listener.add_listener(APPLIED_CHANNEL, on_applied)
        try:
            while True:
                wake.clear()
                instances = await list_instances(store, kind=kind)
                waiting, lost = judge(change.version, instances)
                if not waiting:
                    return _result(change, instances, lost)
                remaining = deadline - asyncio.get_running_loop().time()
                if remaining <= 0:
                    names = tuple(row.id for row in waiting)
                    raise BarrierTimeoutError(change.version, names, timeout_seconds)
                try:
                    async with asyncio.timeout(min(POLL_SECONDS, remaining)):
                        await wake.wait()
                except TimeoutError:
                    continue
        finally:
            await _stop_listening(listener, on_applied)


async def _stop_listening(listener: asyncpg.Connection[asyncpg.Record], callback: object) -> None:
    if not listener.is_closed():
        await listener.remove_listener(APPLIED_CHANNEL, callback)  # type: ignore[arg-type]


def _result(
    change: Change, instances: tuple[Instance, ...], lost: tuple[str, ...]
) -> BarrierResult:
    applied = tuple(
        Applied(row.id, row.kind, _seconds(change.committed_at, row.applied_at))
        for row in instances
        if row.is_live
    )
    return BarrierResult(change.version, applied, lost)


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
