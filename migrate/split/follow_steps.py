"""The second half of a split: subscribe, fence prepared, catch up, indexes, way back, verify."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from migrate.split import schema_copy
from migrate.split.catalogue import read_tables
from migrate.split.connection import close
from migrate.split.context import SplitContext
from migrate.split.fence import (
    FenceState,
    alter_sql,
    create_trigger_sql,
    drop_sql,
    fence_state,
    fenced_tables,
)
from migrate.split.locks import LockOrder, lock_tables
from migrate.split.model import SplitError
from migrate.split.names import Direction, Side
from migrate.split.publication import (
    create_publication,
    create_subscription,
    drop_publication,
    drop_subscription,
    enable_subscription,
    find_subscription,
    has_publication,
)
from migrate.split.scaffold import has_milestone, reach_milestone
from migrate.split.slots import find_slot
from migrate.split.stream import TokenLateError, token_round_trip
from migrate.steps import Check, Progress, Step, done, needed
from shared.states import DataState

#: Seconds between two looks at how far the follower has come.
CATCH_UP_POLL = 0.5
#: Longest wait for the token once the follower is nearly there, in seconds.
CATCH_UP_TOKEN = 5.0


class Subscribe(Step[SplitContext]):
    """The own side follows the shared one."""

    name = "subscribe"
    title = "follow the shared database"

    async def check(self, context: SplitContext) -> Check:
        found = await find_subscription(context, Direction.FORWARD)
        return done() if found is not None and found.enabled else needed()

    async def apply(self, context: SplitContext) -> None:
        await create_subscription(context, Direction.FORWARD)
        await enable_subscription(context, Direction.FORWARD)

    async def undo(self, context: SplitContext) -> None:
        await drop_subscription(context, Direction.FORWARD)


class PrepareFence(Step[SplitContext]):
    """Fence triggers on the shared side, disabled: enabling them later needs no stronger lock."""

    name = "fence_ready"
    title = "prepare the fence on the shared database (disabled)"
    deadline_seconds = 120.0

    async def check(self, context: SplitContext) -> Check:
        shared = await context.control(Side.SHARED)
        state = await fence_state(shared, context.names, fenced_tables(context))
        return needed(state) if state in (FenceState.ABSENT, FenceState.MIXED) else done(state)

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        """Created and disabled in one short transaction, so that no writer ever meets it."""
        locker = await context.session(Side.SHARED, "fence")
        try:
            locked = await lock_tables(
                locker,
                await context.control(Side.SHARED),
                await lock_order(context, Side.SHARED),
                context.limits,
                is_superuser=context.facts[Side.SHARED].is_superuser,
            )
            missing = [
                table
                for table in fenced_tables(context)
                if await fence_state(locker, context.names, [table]) is FenceState.ABSENT
            ]
            create = " ".join(create_trigger_sql(context.names, table) for table in missing)
            await locker.execute(f"{create} {alter_sql(context.names, missing, 'DISABLE')}; COMMIT")
        finally:
            await close(locker)
        return {"failed_attempts": locked.failed_attempts}

    async def undo(self, context: SplitContext) -> None:
        await drop_fence(context, Side.SHARED)


async def lock_order(context: SplitContext, side: Side) -> LockOrder:
    """The fenced tables of a side with their oids, in the service's order."""
    names = [table.name for table in fenced_tables(context)]
    tables = await read_tables(await context.control(side), names)
    return LockOrder([(name, tables[name].oid) for name in names])


async def drop_fence(context: SplitContext, side: Side) -> None:
    """Remove the triggers table by table: each needs ACCESS EXCLUSIVE, for a moment."""
    from asyncpg import LockNotAvailableError, UndefinedTableError

    connection = await context.control(side)
    for table in fenced_tables(context):
        for attempt in range(context.limits.lock_attempts):
            try:
                async with connection.transaction():
                    await connection.execute(
                        f"SET LOCAL lock_timeout = '{context.limits.lock_timeout_ms}ms'"
                    )
                    await connection.execute(drop_sql(context.names, [table]))
                break
            except UndefinedTableError:
                break
            except LockNotAvailableError:
                await asyncio.sleep(context.limits.lock_backoff_seconds * (1 + attempt % 3))
        else:
            raise SplitError(
                f"the fence of table {table.name} could not be removed: readers or a vacuum hold"
                " it; see pg_stat_activity and run the command again"
            )


class CatchUp(Step[SplitContext]):
    """Everything that was committed while copying is applied."""

    deadline_seconds = 7 * 86_400.0

    def __init__(self, name: str) -> None:
        self.name = name  # one class, two places in the plan
        self.title = "catch up with the shared database"

    async def check(self, context: SplitContext) -> Check:
        return needed()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        """Wait for few bytes, then for the token: bytes alone prove nothing."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        first: int | None = None
        while True:
            slot = await find_slot(
                await context.control(Side.SHARED), context.names.slot(Direction.FORWARD)
            )
            subscription = await find_subscription(context, Direction.FORWARD)
            if slot is None or slot.wal_status == "lost" or subscription is None:
                raise SplitError(
                    "the replication slot is lost;"
                    f" `migrate db abort {context.spec.service}`, then split again"
                )
            first = max(first or 1, slot.behind_bytes)
            context.observer(
                Progress(
                    step=self.name,
                    item="stream",
                    done_bytes=first - slot.behind_bytes,
                    total_bytes=first,
                    seconds=loop.time() - started,
                    lag_bytes=slot.behind_bytes,
                    note=(
                        f"{subscription.apply_errors} errors while applying: see the log of the"
                        " own database's server"
                        if subscription.apply_errors
                        else ""
                    ),
                )
            )
            if slot.behind_bytes <= context.limits.catch_up_bytes or slot.is_active:
                try:
                    milliseconds = await token_round_trip(
                        context, Direction.FORWARD, CATCH_UP_TOKEN
                    )
                except TokenLateError:
                    continue
                return {"round_trip_ms": round(milliseconds, 2)}
            await asyncio.sleep(CATCH_UP_POLL)


class Indexes(Step[SplitContext]):
    """Indexes, foreign keys inside the set, triggers, policies, grants; then statistics."""

    name = "indexes"
    title = "build indexes, foreign keys and triggers on the own database"
    deadline_seconds = 7 * 86_400.0

    async def check(self, context: SplitContext) -> Check:
        own = await context.control(Side.OWN)
        return done() if await has_milestone(own, context.names, self.name) else needed()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        await schema_copy.drop_broken_indexes(context)
        left_out = await schema_copy.create_rest(context, await schema_copy.plan_schema(context))
        own = await context.control(Side.OWN)
        for table in context.spec.tables:
            await own.execute(f"ANALYZE {table.name.sql}", timeout=3600.0)
        await reach_milestone(own, context.names, self.name)
        return {"left_out": left_out}


class WayBack(Step[SplitContext]):
    """Publication and subscription of the other direction, asleep; proves that A reaches B."""

    name = "way_back"
    title = "prepare following in the other direction (asleep)"
    deadline_seconds = 120.0

    async def check(self, context: SplitContext) -> Check:
        own = await context.control(Side.OWN)
        name = context.names.publication(Direction.REVERSE)
        published = await has_publication(own, name)
        subscribed = await find_subscription(context, Direction.REVERSE)
        return done() if published and subscribed is not None else needed()

    async def apply(self, context: SplitContext) -> None:
        await create_publication(context, Direction.REVERSE)
        await create_subscription(context, Direction.REVERSE)

    async def undo(self, context: SplitContext) -> None:
        await drop_subscription(context, Direction.REVERSE)
        await drop_publication(context, Direction.REVERSE)


class Following(Step[SplitContext]):
    """The control store says that the own side follows."""

    name = "following"
    title = "record that the own database follows"

    async def check(self, context: SplitContext) -> Check:
        state = (await context.control_desk.placement()).state
        is_early = state in (DataState.SHARED, DataState.COPYING)
        return needed(state) if is_early else done(state)

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        change = await context.control_desk.move(DataState.FOLLOWING, "split follows")
        return {"version": change.version}

    async def undo(self, context: SplitContext) -> None:
        if (await context.control_desk.placement()).state is DataState.FOLLOWING:
            await context.control_desk.move(DataState.SHARED, "split taken back")
