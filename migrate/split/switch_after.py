"""Before and after the moment of a switch: way back, placement, flags, following turned round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from migrate.split.desk import STATE_AFTER
from migrate.split.fence import FenceState, alter_sql, fence_state, fenced_tables
from migrate.split.follow_steps import lock_order
from migrate.split.locks import lock_tables
from migrate.split.model import SplitError
from migrate.split.names import Direction
from migrate.split.publication import (
    create_publication,
    create_subscription,
    enable_subscription,
    find_subscription,
    has_publication,
    stop_subscription,
)
from migrate.split.slots import advance_slot, create_slot, drop_slot, find_slot
from migrate.split.stream import token_round_trip
from migrate.split.switch import SwitchContext
from migrate.split.switch_steps import PastReturnError
from migrate.steps import Check, Step, done, needed
from shared.control.errors import BarrierTimeoutError

#: Longest wait for the first token of the stream that was turned round, in seconds.
ARMED_SECONDS = 20.0
#: Longest wait of writers for one attempt to disable the new owner's fence, and how many there are.
UNGUARD_LOCK_MS = 20
UNGUARD_ATTEMPTS = 200


class Ready(Step[SwitchContext]):
    """A slot on the coming owner, from which the loser will follow; made here, used later.

    A slot cannot be made inside the pause: it waits for every writing transaction of the server.
    """

    name = "ready"
    title = "make the slot for the way back"
    deadline_seconds = 600.0

    async def check(self, context: SwitchContext) -> Check:
        back = context.direction.opposite
        split = context.split
        connection = await split.source(back)
        slot = await find_slot(connection, split.names.slot(back))
        if slot is None or slot.wal_status == "lost":
            return needed("no slot")
        published = await has_publication(connection, split.names.publication(back))
        subscribed = await find_subscription(split, back)
        return done() if published and subscribed is not None else needed()

    async def apply(self, context: SwitchContext) -> None:
        back = context.direction.opposite
        await create_publication(context.split, back)
        await create_subscription(context.split, back)
        await create_slot(context.split, back)

    async def undo(self, context: SwitchContext) -> None:
        if await context.is_fenced():
            raise PastReturnError(context.direction, context.split.spec.service)
        await drop_slot(context.split, context.direction.opposite)


class Place(Step[SwitchContext]):
    """The control store names the new owner: everybody goes there."""

    name = "place"
    title = "record the new owner; routers and services follow"
    is_urgent: ClassVar[bool] = True

    async def check(self, context: SwitchContext) -> Check:
        placement = await context.split.control_desk.placement()
        wanted = STATE_AFTER[context.direction]
        return done() if placement.state is wanted else needed(placement.state)

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        """With routes that move along: they go first where that is legal, last where not."""
        desk, direction = context.split.control_desk, context.direction
        reason = f"switch {context.number}"
        routes = await desk.routes(writing_only=False) if context.options.direct else ()
        if routes and direction is Direction.FORWARD:
            await desk.send_to(100.0, routes, reason)
        change = await desk.move(STATE_AFTER[direction], reason)
        if routes and direction is Direction.REVERSE:
            change = await desk.send_to(0.0, routes, reason)
        context.mark("placed")
        return {"version": change.version}

    async def undo(self, context: SwitchContext) -> None:
        raise PastReturnError(context.direction, context.split.spec.service)


class Release(Step[SwitchContext]):
    """Held requests go on, to the new owner."""

    name = "release"
    title = "let held requests go on"
    is_urgent: ClassVar[bool] = True

    async def check(self, context: SwitchContext) -> Check:
        held = await context.split.control_desk.held()
        return needed() if held else done()

    async def apply(self, context: SwitchContext) -> None:
        desk = context.split.control_desk
        await desk.release(await desk.held(), f"switch {context.number} is done")
        context.mark("released")


class Everywhere(Step[SwitchContext]):
    """Every live instance has applied the new placement. A late one is named, not waited for."""

    name = "everywhere"
    title = "wait until every live instance has applied it"
    deadline_seconds = 60.0

    async def check(self, context: SwitchContext) -> Check:
        return needed()

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        desk = context.split.control_desk
        change = await desk.move(STATE_AFTER[context.direction], "")  # the version in force
        try:
            result = await desk.everywhere(change, context.options.barrier_seconds)
        except BarrierTimeoutError as error:
            return {"late": list(error.waiting)}
        return {"late": [], "lost": list(result.lost)}


class StopFollowing(Step[SwitchContext]):
    """The winner follows nobody any more: only one direction may flow at a time."""

    name = "stop_following"
    title = "stop the new owner from following the old one"

    async def check(self, context: SwitchContext) -> Check:
        found = await find_subscription(context.split, context.direction)
        if found is None or (not found.enabled and found.pid is None):
            return done()
        return needed()

    async def apply(self, context: SwitchContext) -> None:
        await stop_subscription(context.split, context.direction)


class SkipEcho(Step[SwitchContext]):
    """The slot of the way back begins after everything that the winner had from the loser."""

    name = "skip_echo"
    title = "start the way back behind the changes that came from the old owner"
    deadline_seconds = 90.0

    async def check(self, context: SwitchContext) -> Check:
        back = context.direction.opposite
        found = await find_subscription(context.split, back)
        if found is not None and found.enabled:
            return done("the way back flows already")
        connection = await context.split.source(back)
        confirmed = await connection.fetchval(
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1",
            context.split.names.slot(back),
        )
        if confirmed is None:
            raise SplitError(
                "the slot of the way back is gone, so the old owner cannot follow;"
                f" `migrate db split {context.split.spec.service}` is the only way to a new pair"
            )
        is_there = confirmed >= await context.committed_open_lsn()
        return done() if is_there else needed()

    async def apply(self, context: SwitchContext) -> None:
        back = context.direction.opposite
        await advance_slot(context.split, back, await context.committed_open_lsn())


class FollowBack(Step[SwitchContext]):
    """The loser follows the winner."""

    name = "follow_back"
    title = "let the old owner follow the new one"

    async def check(self, context: SwitchContext) -> Check:
        found = await find_subscription(context.split, context.direction.opposite)
        return done() if found is not None and found.enabled else needed()

    async def apply(self, context: SwitchContext) -> None:
        await enable_subscription(context.split, context.direction.opposite)
        context.mark("following_back")


class Armed(Step[SwitchContext]):
    """A token has gone the other way: the switch can be undone from now on."""

    name = "armed"
    title = "see a token arrive on the old owner: the way back is open"

    async def check(self, context: SwitchContext) -> Check:
        return needed()

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        milliseconds = await token_round_trip(
            context.split, context.direction.opposite, ARMED_SECONDS
        )
        context.mark("armed")
        return {"round_trip_ms": round(milliseconds, 2)}


class Unguard(Step[SwitchContext]):
    """The new owner's fence triggers are disabled: its gate is open anyway, now nobody asks it."""

    name = "unguard"
    title = "disable the fence of the new owner, whose gate is open"
    deadline_seconds = 120.0

    async def check(self, context: SwitchContext) -> Check:
        state = await self._state(context)
        return done(state) if state is FenceState.OPEN else needed(state)

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        """Needs the tables for a moment. Nothing hurries, so writers wait only a little per attempt."""
        split, side = context.split, context.direction.target
        limits = replace(
            split.limits, lock_timeout_ms=UNGUARD_LOCK_MS, lock_attempts=UNGUARD_ATTEMPTS
        )
        locker = await context.session(side, "unguard")
        locked = await lock_tables(
            locker,
            await context.session(side, "monitor"),
            await lock_order(split, side),
            limits,
            is_superuser=split.facts[side].is_superuser,
        )
        await locker.execute(f"{alter_sql(split.names, fenced_tables(split), 'DISABLE')} COMMIT")
        return {"failed_attempts": locked.failed_attempts}

    async def _state(self, context: SwitchContext) -> FenceState:
        connection = await context.split.control(context.direction.target)
        return await fence_state(connection, context.split.names, fenced_tables(context.split))


class ForgetSlot(Step[SwitchContext]):
    """The slot of the old direction would keep WAL for nobody."""

    name = "forget_slot"
    title = "drop the slot of the old direction, which nobody reads"

    async def check(self, context: SwitchContext) -> Check:
        connection = await context.split.source(context.direction)
        slot = await find_slot(connection, context.split.names.slot(context.direction))
        return done() if slot is None else needed()

    async def apply(self, context: SwitchContext) -> None:
        await drop_slot(context.split, context.direction)
