"""What a split tells the control store: where the tables are, holds, flags; knows no database of a split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migrate.split.names import Direction
from shared.control.barrier import BarrierResult, wait_until_applied
from shared.control.model import Change, FlagChange, Hold, Placement
from shared.control.store import ControlStore
from shared.states import DataState

#: State of a service's tables after a switch in each direction.
STATE_AFTER = {Direction.FORWARD: DataState.OWN, Direction.REVERSE: DataState.FOLLOWING}


@dataclass(frozen=True, slots=True)
class Desk:
    """The control store for one service; `actor` goes into the history."""

    store: ControlStore
    service: str
    actor: str

    async def placement(self) -> Placement:
        """Where the tables are now."""
        return (await self.store.state()).placement(self.service)

    async def move(self, state: DataState, reason: str) -> Change:
        """Record a new data state; nothing happens when it is there already."""
        return await self.store.set_placement(self.service, state, actor=self.actor, reason=reason)

    async def routes(self, *, writing_only: bool = True) -> tuple[str, ...]:
        """Names of the service's routes."""
        flags = (await self.store.state()).flags
        return tuple(
            name
            for name, flag in sorted(flags.items())
            if flag.service == self.service and (flag.writes or not writing_only)
        )

    async def writers_elsewhere(self) -> tuple[str, ...]:
        """Writing routes of the service that do not go to it entirely."""
        flags = (await self.store.state()).flags
        return tuple(
            name
            for name, flag in sorted(flags.items())
            if flag.service == self.service and flag.writes and (flag.percent != 100 or flag.deny)
        )

    async def hold(self, routes: Iterable[str], seconds: float, reason: str) -> Change:
        """Let the routers keep new requests waiting, for `seconds` at most."""
        hold = Hold(request_seconds=seconds, total_seconds=2 * seconds)
        return await self.store.set_hold(routes, hold, actor=self.actor, reason=reason)

    async def release(self, routes: Iterable[str], reason: str) -> Change:
        """End the hold."""
        return await self.store.set_hold(routes, None, actor=self.actor, reason=reason)

    async def held(self) -> tuple[str, ...]:
        """Routes of the service that are held now."""
        flags = (await self.store.state()).flags
        return tuple(
            name
            for name, flag in sorted(flags.items())
            if flag.service == self.service and flag.hold is not None
        )

    async def percents(self) -> dict[str, float]:
        """Percent of every route of the service."""
        flags = (await self.store.state()).flags
        return {name: flag.percent for name, flag in flags.items() if flag.service == self.service}

    async def send_to(self, percent: float, routes: Iterable[str], reason: str) -> Change:
        """Give the routes to the service (100) or to the monolith (0)."""
        change = FlagChange(percent=percent)
        return await self.store.set_flags(
            dict.fromkeys(routes, change), actor=self.actor, reason=reason
        )

    async def everywhere(self, change: Change, seconds: float) -> BarrierResult:
        """Wait until every live instance has applied a change; raises BarrierTimeoutError."""
        return await wait_until_applied(self.store, change, timeout_seconds=seconds)
