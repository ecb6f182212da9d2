"""What one switch of ownership knows while it runs, and how it recognises an unfinished one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from migrate.split.connection import CONNECTION_LOST, Connection, close
from migrate.split.context import SplitContext
from migrate.split.fence import ACCEPTING, FenceState, describe_owner, fence_state, fenced_tables
from migrate.split.follow_steps import lock_order
from migrate.split.locks import Locked, LockOrder
from migrate.split.model import Limits, StateError
from migrate.split.names import Direction, Side
from migrate.split.publication import find_subscription
from migrate.split.scaffold import Switch, has_scaffold, read_switches
from migrate.split.sequences import SequenceReader, SequenceValue, find_sequences

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.prepared_stmt import PreparedStatement

    from migrate.split.canary import Canary


#: Attempts at the lock while requests are held: less than a second in all.
HELD_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class SwitchOptions:
    """What the operator asked for.

    `direct`: routes and data move together under a hold of the router, for writers that cannot
    run again on the other side. `hold_seconds`: bound of that hold; `drain_seconds`: of all attempts
    to hold until no request is under way. `way_back`: keep the losing side following, so that the
    switch can be undone.
    """

    direct: bool = False
    hold_seconds: float = 2.0
    drain_seconds: float = 30.0
    way_back: bool = True
    verified: bool = True  # a fresh exact match is a condition of the gate
    barrier_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who accepts writes now, and every switch that was ever committed."""

    fences: Mapping[Side, FenceState]
    switches: tuple[Switch, ...]

    @property
    def owner(self) -> Side | None:
        """The side that accepts writes; None while a switch is under way or a hand was at work."""
        shared, own = self.fences[Side.SHARED], self.fences[Side.OWN]
        if own is FenceState.FENCED and (shared in ACCEPTING or shared is FenceState.ABSENT):
            return Side.SHARED
        return Side.OWN if shared is FenceState.FENCED and own in ACCEPTING else None

    @property
    def last(self) -> Switch | None:
        """The newest committed switch: the fence commits it."""
        fenced = (switch for switch in self.switches if switch.role == "fenced")
        return max(fenced, key=lambda switch: switch.number, default=None)

    def number_for(self, direction: Direction) -> int:
        """The number of a switch in this direction: the unfinished or last one, or a new one."""
        last = self.last
        if last is None:
            return 1
        return last.number if last.direction == direction else last.number + 1

    def describe(self) -> str:
        """One sentence for people."""
        return describe_owner(self.fences[Side.SHARED], self.fences[Side.OWN])


async def read_ownership(context: SplitContext) -> Ownership:
    """Read it from the triggers themselves; raises StateError when there is no split."""
    fences, switches = {}, []
    for side in Side:
        connection = await context.control(side)
        fences[side] = await fence_state(connection, context.names, fenced_tables(context))
        switches += await read_switches(connection, context.names)
    return Ownership(fences, tuple(switches))


@dataclass(slots=True)
class SwitchContext:
    """One switch in one process. The fields below `number` live only as long as the process."""

    split: SplitContext
    direction: Direction
    number: int
    options: SwitchOptions = field(default_factory=SwitchOptions)
    order: LockOrder = field(default_factory=lambda: LockOrder([]))
    target_oids: list[int] = field(default_factory=list)
    sequences: SequenceReader = field(default_factory=lambda: SequenceReader((), ()))
    sessions: dict[str, Connection] = field(default_factory=dict)
    locker: Connection | None = None  # holds the lock; never replaced by another connection
    locked: Locked | None = None
    opening: PreparedStatement[Record] | None = None  # opens the winner, planned beforehand
    is_drained: bool = False
    token: int | None = None
    is_applied: bool = False
    preparing: asyncio.Task[list[SequenceValue]] | None = None
    open_lsn: int | None = None
    failed_attempts: int = 0
    stalls_ms: list[float] = field(default_factory=list)  # waits of writers by attempts given up
    marks: dict[str, float] = field(default_factory=dict)  # step -> monotonic seconds
    prediction_ms: float | None = None
    canary: Canary | None = None

    @classmethod
    async def begin(
        cls, split: SplitContext, direction: Direction, options: SwitchOptions | None = None
    ) -> SwitchContext:
        """Recognise where the databases stand; raises StateError when they stand elsewhere."""
        if not await has_scaffold(split, Side.SHARED):
            service = split.spec.service
            raise StateError(f"{service} has no split; `migrate db split {service}` makes one")
        ownership = await read_ownership(split)
        number = ownership.number_for(direction)
        if ownership.last is None or ownership.last.number != number:
            await _refuse_unless_ready(split, direction, ownership)
        return cls(split, direction, number, options or SwitchOptions())

    async def session(self, side: Side, role: str) -> Connection:
        """A connection that lives as long as the switch, one per role and side."""
        key = f"{side}/{role}"
        connection = self.sessions.get(key)
        if connection is None or connection.is_closed():
            connection = await self.split.session(side, role)
            self.sessions[key] = connection
        return connection

    @property
    def limits(self) -> Limits:
        """Those of the split; while requests are held there is no time for many attempts."""
        if not self.options.direct:
            return self.split.limits
        return replace(self.split.limits, lock_attempts=HELD_ATTEMPTS, token_attempts=1)

    async def learn_tables(self) -> None:
        """Names and oids of what is locked, and the sequences; read before anybody waits."""
        if self.order.tables:
            return
        self.order = await lock_order(self.split, self.direction.source)
        self.target_oids = (await lock_order(self.split, self.direction.target)).oids
        source = await self.split.control(self.direction.source)
        names = await find_sequences(source, self.order.oids)
        self.sequences = await SequenceReader.of(source, names)

    async def is_fenced(self) -> bool:
        """Whether the losing side has committed this switch: the point of no return."""
        return await self._has_row(self.direction.source, "fenced")

    async def _has_row(self, side: Side, role: str) -> bool:
        connection = await self.split.control(side)
        return bool(
            await connection.fetchval(
                f"SELECT EXISTS (SELECT FROM {self.split.names.relation('switch')}"
                " WHERE number = $1 AND role = $2)",
                self.number,
                role,
            )
        )

    async def committed_open_lsn(self) -> int:
        """The position on the winner behind which every change is its own, as it has recorded it."""
        switches = await read_switches(
            await self.split.control(self.direction.target), self.split.names
        )
        for switch in switches:
            is_ours = (switch.number, switch.role) == (self.number, "ready")
            if is_ours and switch.open_lsn is not None:
                return switch.open_lsn
        raise StateError(
            f"switch {self.number} was not prepared on the {self.direction.target} side"
        )

    def mark(self, name: str) -> None:
        """Remember when something happened."""
        self.marks[name] = time.monotonic()

    def milliseconds(self, start: str, end: str) -> float | None:
        """Between two marks; None if one is missing."""
        if start in self.marks and end in self.marks:
            return (self.marks[end] - self.marks[start]) * 1000.0
        return None

    @property
    def pause_ms(self) -> float | None:
        """How long no side accepted writes: from the request of the lock to the opened winner."""
        return self.milliseconds("requested", "opened")

    def timeline(self) -> dict[str, float]:
        """Milliseconds of every mark after the request of the lock, in order."""
        start = self.marks.get("requested")
        if start is None:
            return {}
        return {
            name: round((at - start) * 1000.0, 2)
            for name, at in sorted(self.marks.items(), key=lambda item: item[1])
        }

    async def let_go(self) -> None:
        """End the fence transaction if one is open: writers go on."""
        if self.preparing is not None:
            self.preparing.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self.preparing
            self.preparing = None
        locker, self.locker = self.locker, None
        if locker is not None and not locker.is_closed():
            with contextlib.suppress(*CONNECTION_LOST, TimeoutError):
                await locker.execute("ROLLBACK", timeout=1.0)
            await close(locker)
        if self.locked is not None:
            self.stalls_ms.append((time.monotonic() - self.locked.requested_at) * 1000.0)
        self.locked = None
        self.token = None
        self.is_applied = False
        self.open_lsn = None

    async def close(self) -> None:
        """Stop the canary and close every session of the switch."""
        if self.canary is not None:
            await self.canary.stop()
        if self.preparing is not None and not self.preparing.done():
            self.preparing.cancel()
        for connection in self.sessions.values():
            await close(connection)
        self.sessions.clear()

    def report(self) -> dict[str, Any]:
        """Figures for the journal and the operator."""
        return {
            "number": self.number,
            "direction": str(self.direction),
            "pause_ms": None if self.pause_ms is None else round(self.pause_ms, 2),
            "predicted_ms": self.prediction_ms,
            "failed_attempts": self.failed_attempts,
            "stalls_ms": [round(stall, 2) for stall in self.stalls_ms],
            "timeline_ms": self.timeline(),
        }


async def _refuse_unless_ready(
    split: SplitContext, direction: Direction, ownership: Ownership
) -> None:
    """A new switch begins where the last one has ended: at an owner that is followed."""
    service = split.spec.service
    if ownership.owner is not direction.source:
        raise StateError(
            f"a switch of {service} from the {direction.source} side is not possible:"
            f" {ownership.describe()}"
        )
    followed = await find_subscription(split, direction)
    if followed is None or not followed.enabled:
        last = "cutover" if direction is Direction.REVERSE else "rollback"
        raise StateError(
            f"the {direction.target} side does not follow yet, because the last switch was"
            f" interrupted; `migrate {last} {service}` finishes it"
        )
