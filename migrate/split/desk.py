"""What a split tells the control store: where the tables are, holds, flags; knows no database of a split."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from migrate.split.names import Direction
from shared.control.barrier import BarrierResult, wait_until_applied
from shared.control.instances import ask_for_reports, list_instances
from shared.control.model import Change, FlagChange, Hold, Placement
from shared.control.store import ControlStore
from shared.states import DataState

#: State of a service's tables after a switch in each direction.
STATE_AFTER = {Direction.FORWARD: DataState.OWN, Direction.REVERSE: DataState.FOLLOWING}


#: Pause between two looks at the reports of routers, in seconds.
REPORT_POLL = 0.005


def count_in_flight(stats: Iterable[Mapping[str, Any]], routes: Collection[str]) -> dict[str, int]:
    """Requests under way by route, over the reports of all routers; routes without any left out."""
    found: Counter[str] = Counter()
    for row in stats:
        for name, count in row.get("in_flight_by_route", {}).items():
            route = name.rpartition("/")[0]
            if route in routes:
                found[route] += count
    return dict(found)


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

    async def in_flight(self, routes: Iterable[str], seconds: float) -> dict[str, int]:
        """Requests of these routes under way at the routers now; raises TimeoutError.

        Every live router is asked for a fresh report, for at most `seconds`.
        """
        wanted = frozenset(routes)
        asked = await ask_for_reports(self.store)
        async with asyncio.timeout(seconds):
            while True:
                routers = await list_instances(self.store, kind="router")
                live = [row for row in routers if row.is_live]
                if all(row.seen_at >= asked for row in live):
                    return count_in_flight([row.stats for row in live], wanted)
                await asyncio.sleep(REPORT_POLL)

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

    async def everywhere(
        self, change: Change, seconds: float, *, kind: str | None = None
    ) -> BarrierResult:
        """Wait until every live instance (of `kind`) has applied a change; raises BarrierTimeoutError."""
        return await wait_until_applied(self.store, change, timeout_seconds=seconds, kind=kind)
