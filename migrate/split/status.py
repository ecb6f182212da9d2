"""One look at a split: who owns the tables, how far the follower is, what is wrong, what to type next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrate.split import cleaner, silence
from migrate.split.connection import APPLICATION
from migrate.split.context import SplitContext
from migrate.split.drift import find_drift
from migrate.split.fence import hit_counts
from migrate.split.fence_hits import FenceHit, read_hits
from migrate.split.names import Direction, Side
from migrate.split.old_tables import OldTable, old_tables
from migrate.split.scaffold import has_scaffold
from migrate.split.slots import find_slot
from migrate.split.stream import Lag, read_lag
from migrate.split.switch import Ownership, read_ownership
from shared.control.journal import Journal
from shared.states import DataState


@dataclass(frozen=True, slots=True)
class Verified:
    """The last verdict about one table."""

    table: str
    direction: str
    is_equal: bool
    minutes: float
    rows: int


@dataclass(frozen=True, slots=True)
class Status:
    """What `migrate db status` shows for one service."""

    service: str
    placement: str
    epoch: int
    owner: str
    tables: tuple[str, ...]
    direction: Direction | None
    lag: Lag | None
    idle_slots: tuple[str, ...]
    verified: tuple[Verified, ...]
    drift: tuple[str, ...]
    refused: dict[str, int]
    hits: tuple[FenceHit, ...]
    silences: tuple[silence.Silence, ...]
    cut_keys: tuple[str, ...]
    waiting_deletions: dict[str, int]
    old: tuple[OldTable, ...]
    operation: dict[str, Any] | None
    switches: int
    problems: tuple[str, ...]
    next_command: str

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "service": self.service,
            "placement": self.placement,
            "epoch": self.epoch,
            "owner": self.owner,
            "tables": list(self.tables),
            "following": None if self.direction is None else str(self.direction),
            "lag_bytes": self.lag.behind_bytes if self.lag else None,
            "round_trip_ms": self.lag.round_trip_ms if self.lag else None,
            "retained_wal_bytes": self.lag.retained_bytes if self.lag else None,
            "wal_status": self.lag.wal_status if self.lag else None,
            "safe_wal_bytes": self.lag.safe_wal_bytes if self.lag else None,
            "apply_errors": self.lag.apply_errors if self.lag else 0,
            "idle_slots": list(self.idle_slots),
            "verified": {
                entry.table: {
                    "direction": entry.direction,
                    "is_equal": entry.is_equal,
                    "minutes": round(entry.minutes, 1),
                    "rows": entry.rows,
                }
                for entry in self.verified
            },
            "drift": list(self.drift),
            "refused_writes": self.refused,
            "fence_hits": [
                {
                    "application": hit.application,
                    "user": hit.user,
                    "table": hit.table,
                    "operation": hit.operation,
                    "query": hit.query,
                    "pid": hit.pid,
                    "hits": hit.hits,
                    "seen_at": hit.seen_at.isoformat(),
                }
                for hit in self.hits
            ],
            "silent_seconds": {entry.table: round(entry.seconds) for entry in self.silences},
            "cut_keys": list(self.cut_keys),
            "waiting_deletions": self.waiting_deletions,
            "old_tables": [str(entry.table) for entry in self.old],
            "operation": self.operation,
            "switches": self.switches,
            "problems": list(self.problems),
            "next": self.next_command,
        }


async def read_status(context: SplitContext) -> Status:
    """Read it from both databases and the control store; writes only the token."""
    desk = context.control_desk
    placement = await desk.placement()
    shared = await context.control(Side.SHARED)
    old = tuple(await old_tables(shared, context.spec.tables))
    if not await has_scaffold(context, Side.SHARED):
        return _without_split(context, placement.state, placement.epoch, old)
    ownership = await read_ownership(context)
    direction = _direction(ownership)
    lag = await read_lag(context, direction) if direction is not None else None
    hits: list[FenceHit] = []
    refused: dict[str, int] = {}
    for side in Side:
        connection = await context.control(side)
        refused[str(side)] = await hit_counts(connection, context.names)
        hits += [
            hit
            for hit in await read_hits(connection, context.names)
            if not hit.application.startswith(APPLICATION)
        ]
    drift = tuple(await find_drift(context)) if lag is not None else ()
    operation = await Journal(desk.store).find(None, context.spec.service)
    idle = await _idle_slots(context, direction)
    verified = await _verified(context)
    waiting = await cleaner.waiting_deletions(context)
    problems = _problems(ownership, lag, drift, verified, idle)
    if waiting:
        problems += (
            f"{sum(waiting.values())} deletions wait to be carried over:"
            f" migrate db clean {context.spec.service}",
        )
    return Status(
        service=context.spec.service,
        placement=str(placement.state),
        epoch=placement.epoch,
        owner=ownership.describe(),
        tables=tuple(str(table.name) for table in context.spec.tables),
        direction=direction,
        lag=lag,
        idle_slots=idle,
        verified=verified,
        drift=drift,
        refused=refused,
        hits=tuple(sorted(hits, key=lambda hit: hit.seen_at, reverse=True)),
        silences=tuple(await silence.look(context)) if direction is Direction.REVERSE else (),
        cut_keys=tuple(str(key) for key in await cleaner.recorded_keys(context)),
        waiting_deletions=waiting,
        old=old,
        operation=None
        if operation is None
        else {"kind": operation.kind, "status": operation.status, "actor": operation.actor},
        switches=0 if ownership.last is None else ownership.last.number,
        problems=problems,
        next_command=next_command(
            context.spec.service,
            placement.state,
            ownership,
            None if operation is None or operation.status != "running" else operation.kind,
        ),
    )


def _without_split(
    context: SplitContext, state: DataState, epoch: int, old: tuple[OldTable, ...]
) -> Status:
    service = context.spec.service
    following = f"migrate db finalize {service} --drop" if old else "nothing"
    return Status(
        service=service,
        placement=str(state),
        epoch=epoch,
        owner="the own database owns the tables for good"
        if state is DataState.FINAL
        else "the tables are not split",
        tables=tuple(str(table.name) for table in context.spec.tables),
        direction=None,
        lag=None,
        idle_slots=(),
        verified=(),
        drift=(),
        refused={},
        hits=(),
        silences=(),
        cut_keys=(),
        waiting_deletions={},
        old=old,
        operation=None,
        switches=0,
        problems=(),
        next_command=following if state is DataState.FINAL else f"migrate db split {service}",
    )


def _direction(ownership: Ownership) -> Direction | None:
    """Which way rows flow when everything is as it should be."""
    if ownership.owner is Side.SHARED:
        return Direction.FORWARD
    return Direction.REVERSE if ownership.owner is Side.OWN else None


async def _idle_slots(context: SplitContext, direction: Direction | None) -> tuple[str, ...]:
    """Slots that nobody reads although they keep WAL."""
    found = []
    for candidate in Direction:
        name = context.names.slot(candidate)
        slot = await find_slot(await context.source(candidate), name)
        if slot is not None and not slot.is_active:
            reading = "" if candidate is direction else ", the direction that does not flow"
            found.append(f"{name} keeps {slot.retained_bytes:,} bytes{reading}")
    return tuple(found)


async def _verified(context: SplitContext) -> tuple[Verified, ...]:
    shared = await context.control(Side.SHARED)
    rows = await shared.fetch(
        "SELECT relation, direction, is_equal, compared_rows,"
        " extract(epoch FROM clock_timestamp() - at)::float8 / 60 AS minutes"
        f" FROM {context.names.relation('verified')} ORDER BY relation"
    )
    return tuple(
        Verified(
            row["relation"],
            row["direction"],
            row["is_equal"],
            row["minutes"],
            row["compared_rows"],
        )
        for row in rows
    )


def _problems(
    ownership: Ownership,
    lag: Lag | None,
    drift: tuple[str, ...],
    verified: tuple[Verified, ...],
    idle: tuple[str, ...],
) -> tuple[str, ...]:
    """What an operator must not overlook."""
    found = list(drift)
    if ownership.owner is None:
        found.append(ownership.describe())
    if lag is not None:
        if lag.wal_status in ("unreserved", "lost"):
            found.append(f"the slot is {lag.wal_status}: a new copy is needed")
        if lag.round_trip_ms is None:
            found.append(
                "the token does not arrive: the follower is behind, stopped or not connected"
            )
        if lag.apply_errors:
            found.append(
                f"{lag.apply_errors} errors while applying; the log of the following server has them"
            )
    found += [f"table {entry.table} was not equal" for entry in verified if not entry.is_equal]
    found += [f"slot {entry}" for entry in idle]
    return tuple(found)


def next_command(service: str, state: DataState, ownership: Ownership, running: str | None) -> str:
    """What brings this service one step further."""
    unfinished = {
        "split": f"migrate db split {service}",
        "cutover": f"migrate cutover {service}",
        "rollback": f"migrate rollback {service}",
        "abort": f"migrate db abort {service}",
        "finalize": f"migrate db finalize {service}",
    }
    if running in unfinished:
        return unfinished[running]
    if ownership.owner is None and ownership.last is not None:
        kind = "cutover" if ownership.last.direction == "forward" else "rollback"
        return unfinished[kind]
    return {
        DataState.SHARED: unfinished["split"],
        DataState.COPYING: unfinished["split"],
        DataState.FOLLOWING: unfinished["cutover"],
        DataState.OWN: unfinished["finalize"],
        DataState.FINAL: f"{unfinished['finalize']} --drop",
    }[state]
