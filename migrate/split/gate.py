"""The gate of a switch: everything that must hold at one moment, waited for, else refused."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrate.split.drift import find_drift
from migrate.split.fence import FenceState, fenced_tables, shut_sql
from migrate.split.locks import lock_tables
from migrate.split.model import SplitError
from migrate.split.names import Direction, Side
from migrate.split.publication import find_subscription
from migrate.split.slots import find_slot
from migrate.split.stream import TokenLateError, token_round_trip
from migrate.split.switch import SwitchContext, read_ownership
from migrate.split.switch_steps import flush, warm_up
from migrate.steps import Check, Progress, Step, done, needed
from shared.control.errors import BarrierTimeoutError

#: Pause between two looks while the gate does not hold, in seconds.
RETRY_SECONDS = 0.5
#: Rehearsals of lock and fence (rolled back) that the prediction is made from.
PROBES = 3

#: Sessions that hold what the lock would wait for, older than $2 seconds.
OLD_WRITERS = """
SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), '-') AS application,
  round(extract(epoch FROM clock_timestamp() - a.xact_start))::int AS seconds,
  left(regexp_replace(a.query, '\\s+', ' ', 'g'), 80) AS query
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = ANY ($1::oid[]) AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',
                 'ExclusiveLock', 'AccessExclusiveLock')
  AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
  AND a.xact_start < clock_timestamp() - make_interval(secs => $2)
"""

BUILDING = (
    "SELECT pid, command, phase FROM pg_stat_progress_create_index WHERE relid = ANY ($1::oid[])"
)


class GateClosedError(SplitError):
    """The gate did not hold in time; `reasons` are those of the last look."""

    exit_code = 3

    def __init__(self, seconds: float, reasons: list[str]) -> None:
        lines = "\n".join(f"  - {reason}" for reason in reasons)
        super().__init__(
            f"the gate did not hold within {seconds:g} s, nothing was changed:\n{lines}"
        )
        self.reasons = tuple(reasons)


@dataclass(frozen=True, slots=True)
class Prediction:
    """How long writers will wait, in milliseconds: a usual switch, and an unlucky one."""

    usual_ms: float
    unlucky_ms: float
    round_trips_ms: tuple[float, ...]
    fence_ms: tuple[float, ...]
    flush_ms: tuple[float, ...]


def predict(round_trips: list[float], fences: list[float], flushes: list[float]) -> Prediction:
    """The sum of the parts: lock and fence, two trips through the stream, one flush."""
    usual = (
        statistics.median(fences) + 2 * statistics.median(round_trips) + statistics.median(flushes)
    )
    unlucky = max(fences) + 2 * max(round_trips) + max(flushes)
    return Prediction(
        round(usual, 1),
        round(unlucky, 1),
        tuple(round(value, 2) for value in round_trips),
        tuple(round(value, 2) for value in fences),
        tuple(round(value, 2) for value in flushes),
    )


class Gate(Step[SwitchContext]):
    """Waits until everything holds, then predicts the pause by rehearsing its parts."""

    name = "gate"
    title = "wait until every condition of the switch holds"
    deadline_seconds = 600.0

    async def check(self, context: SwitchContext) -> Check:
        if await context.is_fenced():
            return done("the switch is committed")
        return needed()

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        limits = context.split.limits
        until = time.monotonic() + limits.gate_seconds
        while True:
            reasons = await reasons_against(context)
            if not reasons:
                prediction = await rehearse_pause(context)
                context.prediction_ms = prediction.usual_ms
                if prediction.unlucky_ms <= limits.max_pause_ms:
                    break
                reasons = [
                    f"the predicted pause is {prediction.usual_ms:g} ms, {prediction.unlucky_ms:g} ms"
                    f" in an unlucky case, above the limit of {limits.max_pause_ms:g} ms; try at a"
                    " quieter time or raise the limit with --max-pause-ms"
                ]
            context.split.observer(Progress(step="gate", item="waiting", note="; ".join(reasons)))
            if time.monotonic() > until:
                raise GateClosedError(limits.gate_seconds, reasons)
            await asyncio.sleep(RETRY_SECONDS)
        return {
            "usual_ms": prediction.usual_ms,
            "unlucky_ms": prediction.unlucky_ms,
            "round_trips_ms": prediction.round_trips_ms,
        }


async def reasons_against(context: SwitchContext) -> list[str]:
    """Every condition that does not hold now."""
    split, direction = context.split, context.direction
    ownership = await read_ownership(split)
    if ownership.owner is not direction.source:
        return [ownership.describe()]
    if ownership.fences[direction.source] is not FenceState.OPEN:
        return [f"the fence of the {direction.source} side is not disabled yet"]
    await context.learn_tables()
    reasons = await _stream_reasons(context)
    reasons += await _session_reasons(context)
    reasons += await find_drift(split)
    if context.options.verified and direction is Direction.FORWARD:
        reasons += await _verification_reasons(context)
    reasons += await _instance_reasons(context)
    return reasons


async def _stream_reasons(context: SwitchContext) -> list[str]:
    split, direction = context.split, context.direction
    limits = split.limits
    slot = await find_slot(await split.source(direction), split.names.slot(direction))
    subscription = await find_subscription(split, direction)
    if slot is None or subscription is None or not subscription.enabled:
        return [f"the {direction.target} side does not follow the {direction.source} side"]
    if slot.wal_status not in ("reserved", "extended"):
        return [f"slot {slot.name} is {slot.wal_status}"]
    if slot.behind_bytes > limits.catch_up_bytes:
        return [f"the {direction.target} side is {slot.behind_bytes:,} bytes behind"]
    slowest = 0.0
    for _ in range(limits.gate_rounds):
        try:
            slowest = max(slowest, await token_round_trip(split, direction, 2.0))
        except TokenLateError:
            return ["the token takes longer than 2 s: the other side is behind or stopped"]
    if slowest > limits.gate_round_trip_ms:
        return [f"the token took {slowest:.0f} ms, above {limits.gate_round_trip_ms:g} ms"]
    return []


async def _session_reasons(context: SwitchContext) -> list[str]:
    split = context.split
    reasons = []
    oids = {
        context.direction.source: context.order.oids,
        context.direction.target: context.target_oids,
    }
    for side in Side:
        connection = await split.control(side)
        rows = await connection.fetch(OLD_WRITERS, oids[side], split.limits.old_transaction_seconds)
        reasons += [
            f"pid {row['pid']} ({row['application']}) has held locks on the tables of the {side}"
            f" side for {row['seconds']} s: {row['query']}"
            for row in rows
        ]
        for row in await connection.fetch(BUILDING, oids[side]):
            reasons.append(f"{row['command']} is running on the {side} side ({row['phase']})")
        prepared = await connection.fetchval(
            "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
        )
        if prepared:
            reasons.append(f"{prepared} prepared transactions are open on the {side} side")
    return reasons


async def _verification_reasons(context: SwitchContext) -> list[str]:
    split = context.split
    shared = await split.control(Side.SHARED)
    rows = await shared.fetch(
        "SELECT relation, is_equal, extract(epoch FROM clock_timestamp() - at)::float8 / 60 AS minutes"
        f" FROM {split.names.relation('verified')} WHERE direction = $1",
        context.direction.value,
    )
    found = {row["relation"]: row for row in rows}
    reasons = []
    for table in split.spec.tables:
        row = found.get(str(table.name))
        if row is None:
            reasons.append(f"table {table.name} was never verified; `migrate db verify` does that")
        elif not row["is_equal"]:
            reasons.append(f"table {table.name} was not equal when it was verified last")
        elif row["minutes"] > split.limits.verification_minutes:
            reasons.append(
                f"table {table.name} was verified {row['minutes']:.0f} minutes ago, more than"
                f" {split.limits.verification_minutes:g}; run `migrate db verify` again"
            )
    return reasons


async def _instance_reasons(context: SwitchContext) -> list[str]:
    """Every live instance obeys the version in force, so it will obey the next one too."""
    desk = context.split.control_desk
    placement = await desk.placement()
    change = await desk.move(placement.state, "")
    try:
        await desk.everywhere(change, context.options.barrier_seconds)
    except BarrierTimeoutError as error:
        return [f"{name} does not follow the control store" for name in error.waiting]
    return []


async def rehearse_pause(context: SwitchContext) -> Prediction:
    """Lock and fence in a transaction that is rolled back, the token, and a flush: all three thrice."""
    split, direction = context.split, context.direction
    side = direction.source
    locker = await context.session(side, "fence")
    monitor = await context.session(side, "monitor")
    target = await context.session(direction.target, "monitor")
    enable = shut_sql(split.names, fenced_tables(split), context.number)
    trips, fences, flushes = [], [], []
    await warm_up(context)
    for _ in range(PROBES):
        trips.append(await token_round_trip(split, direction))
        started = time.monotonic()
        await flush(target, context, (), ())
        flushes.append((time.monotonic() - started) * 1000.0)
        locked = await lock_tables(
            locker,
            monitor,
            context.order,
            split.limits,
            is_superuser=split.facts[side].is_superuser,
        )
        await locker.execute(enable)
        fences.append((time.monotonic() - locked.requested_at) * 1000.0)
        await locker.execute("ROLLBACK")
    return predict(trips, fences, flushes)
