"""The hold of a direct switch: new requests wait at the routers, and those under way are let finish."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from migrate.split.model import SplitError
from migrate.split.switch import SwitchContext
from migrate.steps import Check, Progress, Step, done, needed

#: Share of a hold that may pass until the last request is through; the rest is for the switch.
DRAIN_SHARE = 0.6
#: Pause between two looks at what is under way, and between two attempts to hold, in seconds.
LOOK_SECONDS = 0.01
PAUSE_SECONDS = 1.0


class NotDrainedError(SplitError):
    """Requests that write ran on for as long as the tool may wait; `in_flight` names their routes."""

    exit_code = 3

    def __init__(self, in_flight: Mapping[str, int], seconds: float) -> None:
        routes = ", ".join(f"{route} ({count})" for route, count in sorted(in_flight.items()))
        super().__init__(
            f"requests that write are still under way after {seconds:g} s: {routes}; the fence would"
            " break them. Try at a quieter time, or send the routes to the service first: its"
            " requests run again on the other side"
        )
        self.in_flight = dict(in_flight)


class Hold(Step[SwitchContext]):
    """Requests that may write wait at the routers, for writers that cannot run again.

    A request that is under way has to finish before the fence. When one takes longer than a hold
    may last, everybody goes on for a while before the next attempt.
    """

    name = "hold"
    title = "hold writing requests at the routers until none is under way"
    deadline_seconds = 900.0

    async def check(self, context: SwitchContext) -> Check:
        if not context.options.direct:
            return done("not asked for")
        desk = context.split.control_desk
        if context.locked is None and await context.is_fenced():
            return done("the switch is committed")
        held, wanted = set(await desk.held()), set(await desk.routes())
        return done() if wanted and wanted <= held and context.is_drained else needed()

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        desk, options = context.split.control_desk, context.options
        routes = await desk.routes()
        loop = asyncio.get_running_loop()
        until = loop.time() + options.drain_seconds
        attempts = 0
        while True:
            attempts += 1
            change = await desk.hold(routes, options.hold_seconds, "switch of the tables")
            begun = loop.time()
            result = await desk.everywhere(change, options.hold_seconds, kind="router")
            left = await _drain(context, routes, begun + options.hold_seconds * DRAIN_SHARE)
            if not left:
                break
            await desk.release(routes, "requests under way take longer than the hold")
            if loop.time() > until:
                raise NotDrainedError(left, options.drain_seconds)
            context.split.observer(
                Progress(step=self.name, item="waiting", note=f"under way: {', '.join(left)}")
            )
            await asyncio.sleep(PAUSE_SECONDS)
        context.is_drained = True
        return {
            "routes": routes,
            "attempts": attempts,
            "applied_seconds": round(result.slowest_seconds, 3),
            "drained_seconds": round(loop.time() - begun, 3),
        }

    async def undo(self, context: SwitchContext) -> None:
        context.is_drained = False
        desk = context.split.control_desk
        if held := await desk.held():
            await desk.release(held, "the switch was taken back")


async def _drain(context: SwitchContext, routes: Sequence[str], until: float) -> dict[str, int]:
    """Wait until no request of the routes is under way; what is left at the end."""
    loop = asyncio.get_running_loop()
    while True:
        seconds = max(0.05, until - loop.time())
        left = await context.split.control_desk.in_flight(routes, seconds + PAUSE_SECONDS)
        if not left or loop.time() > until:
            return left
        await asyncio.sleep(LOOK_SECONDS)
