"""The first half of a split: claim, scaffold, tables, publication, guard, snapshot, copy, keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate.split import keeper, schema_copy
from migrate.split.catalogue import find_tables, read_storages, read_tables
from migrate.split.chunks import plan_chunks
from migrate.split.clean_up import drop_copies
from migrate.split.context import SplitContext
from migrate.split.copy import TableCopy, plan_tasks, truncate_sql
from migrate.split.fence import (
    ACCEPTING,
    FenceState,
    create_trigger_sql,
    describe_owner,
    fence_state,
    fenced_tables,
)
from migrate.split.follow_steps import drop_fence
from migrate.split.model import SplitError, StateError
from migrate.split.names import Direction, Side
from migrate.split.publication import (
    create_publication,
    drop_publication,
    drop_subscription,
    has_publication,
)
from migrate.split.scaffold import (
    create_scaffold,
    drop_scaffold,
    has_milestone,
    has_scaffold,
    reach_milestone,
)
from migrate.split.slots import drop_slot, find_slot
from migrate.split.throttle import Throttle
from migrate.steps import Check, Step, done, needed
from shared.states import DataState

#: Relation name of the record that says that every piece has been copied.
EVERYTHING = "*"


class Claim(Step[SplitContext]):
    """Says in the control store that the service's tables are being copied."""

    name = "claim"
    title = "record that the tables are being copied"

    async def check(self, context: SplitContext) -> Check:
        placement = await context.control_desk.placement()
        if placement.state is DataState.SHARED:
            return needed()
        return done(f"the placement is {placement.state}")

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        change = await context.control_desk.move(DataState.COPYING, "split started")
        return {"version": change.version}

    async def undo(self, context: SplitContext) -> None:
        if (await context.control_desk.placement()).state is not DataState.SHARED:
            await context.control_desk.move(DataState.SHARED, "split taken back")


class Scaffold(Step[SplitContext]):
    """Schema of the split on both sides."""

    name = "scaffold"
    title = "create the split's own schema on both sides"

    async def check(self, context: SplitContext) -> Check:
        found = [side for side in Side if await has_scaffold(context, side)]
        return done() if len(found) == len(Side) else needed()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        for side in Side:
            await create_scaffold(context, side)
        return {"schema": context.names.schema}

    async def undo(self, context: SplitContext) -> None:
        for side in Side:
            await drop_scaffold(context, side)


class Tables(Step[SplitContext]):
    """Types, functions, sequences and tables on the own side."""

    name = "tables"
    title = "create the tables and what they need on the own database"
    deadline_seconds = 600.0

    async def check(self, context: SplitContext) -> Check:
        own = await context.control(Side.OWN)
        if await has_milestone(own, context.names, self.name):
            return done()
        found = await find_tables(own, [table.name for table in context.spec.tables])
        return needed(f"{len(found)} of {len(context.spec.tables)} tables are there")

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        plan = await schema_copy.plan_schema(context)
        await schema_copy.create_before_copy(context, plan)
        await reach_milestone(await context.control(Side.OWN), context.names, self.name)
        return {"adopted": plan.adopted, "cut": [reason for _, reason in plan.cut]}

    async def undo(self, context: SplitContext) -> None:
        if await has_scaffold(context, Side.OWN):
            await drop_copies(context)


class Publish(Step[SplitContext]):
    """The publication on the shared side."""

    name = "publish"
    title = "publish the tables of the shared database"
    deadline_seconds = 300.0

    async def check(self, context: SplitContext) -> Check:
        name = context.names.publication(Direction.FORWARD)
        exists = await has_publication(await context.control(Side.SHARED), name)
        return done() if exists else needed()

    async def apply(self, context: SplitContext) -> None:
        await create_publication(context, Direction.FORWARD)

    async def undo(self, context: SplitContext) -> None:
        await drop_publication(context, Direction.FORWARD)


class GuardTarget(Step[SplitContext]):
    """The own side refuses every writer but replication.

    From before the first row where the tool's sessions may act as replication does, otherwise from
    right after the last one: the step stands at both places of the plan.
    """

    title = "fence the own database against stray writers"

    def __init__(self, name: str, *, before_copy: bool) -> None:
        self.name = name
        self._before_copy = before_copy

    async def check(self, context: SplitContext) -> Check:
        if self._before_copy and not context.facts[Side.OWN].can_be_replica:
            return done("after the copy, for lack of rights")
        own = await context.control(Side.OWN)
        state = await fence_state(own, context.names, fenced_tables(context))
        if state is FenceState.FENCED:
            return done()
        if state in ACCEPTING:
            raise SplitError(
                f"the own database of {context.spec.service} is open for writes;"
                f" `migrate db status {context.spec.service}` shows who owns the tables"
            )
        return needed(state)

    async def apply(self, context: SplitContext) -> None:
        own = await context.control(Side.OWN)
        async with own.transaction():
            for table in fenced_tables(context):
                if await fence_state(own, context.names, [table]) is FenceState.ABSENT:
                    await own.execute(create_trigger_sql(context.names, table))

    async def undo(self, context: SplitContext) -> None:
        await drop_fence(context, Side.OWN)


class Snapshot(Step[SplitContext]):
    """A slot and the snapshot that it starts from, held by a process of its own."""

    name = "snapshot"
    title = "make the replication slot and its snapshot"
    deadline_seconds = 900.0

    async def check(self, context: SplitContext) -> Check:
        shared = await context.control(Side.SHARED)
        slot = await find_slot(shared, context.names.slot(Direction.FORWARD))
        if slot is None or slot.wal_status == "lost":
            return needed("no slot")
        if await _is_copied(context):
            return done("copied already")
        kept = await keeper.find_kept_snapshot(context)
        return needed("the snapshot is gone") if kept is None else done(kept.snapshot)

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        """Start from nothing: without the snapshot, copied rows cannot be completed."""
        await _refuse_unless_shared_owns(context)
        await drop_subscription(context, Direction.FORWARD)
        await keeper.dismiss_keeper(context)
        await drop_slot(context, Direction.FORWARD)
        own = await context.control(Side.OWN)
        names = context.names
        if not context.facts[Side.OWN].can_be_replica:
            await drop_fence(context, Side.OWN)
        async with own.transaction():
            if context.facts[Side.OWN].can_be_replica:
                await own.execute("SET LOCAL session_replication_role = replica")
            await own.execute(f"DELETE FROM {names.relation('copied')}")
            await own.execute(f"TRUNCATE {names.relation('canary')}")
            await own.execute(truncate_sql(context.spec.tables), timeout=300.0)
        shared = await context.control(Side.SHARED)
        await shared.execute(f"DELETE FROM {names.relation('canary')}")
        kept = await keeper.start_keeper(context)
        return {"slot": kept.slot, "snapshot": kept.snapshot}

    async def undo(self, context: SplitContext) -> None:
        await keeper.dismiss_keeper(context)
        await drop_slot(context, Direction.FORWARD)


class Copy(Step[SplitContext]):
    """Rows, in parallel pieces through the snapshot."""

    name = "copy"
    title = "copy the rows"
    deadline_seconds = 7 * 86_400.0  # the guards on WAL and lease end it earlier

    def __init__(self, jobs: int = 4, throttle: Throttle | None = None) -> None:
        self._jobs = jobs
        self._throttle = throttle

    async def check(self, context: SplitContext) -> Check:
        return done() if await _is_copied(context) else needed()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        if await _is_copied(context):
            return {}
        kept = await keeper.find_kept_snapshot(context)
        if kept is None:
            raise SplitError("the snapshot of the copy is gone; run the command again")
        names = [table.name for table in context.spec.tables]
        shared, own = await context.control(Side.SHARED), await context.control(Side.OWN)
        source = await read_tables(shared, names)
        target = await read_tables(own, names)
        tasks = plan_tasks(
            context.spec.tables,
            {table.oid: table for table in source.values()},
            {table.oid: table for table in target.values()},
        )
        chunks = plan_chunks(await read_storages(shared, list(tasks)))
        copy = TableCopy(
            context, kept.snapshot, tasks, chunks, jobs=self._jobs, throttle=self._throttle
        )
        totals = await copy.run()
        await own.execute(
            f"INSERT INTO {context.names.relation('copied')}"
            " (slot, relation, first_page, copied_rows) VALUES ($1, $2, 0, $3)",
            kept.slot,
            EVERYTHING,
            totals.done_rows,
        )
        await keeper.dismiss_keeper(context)
        return {
            "rows": totals.done_rows,
            "bytes": totals.wire_bytes,
            "seconds": round(totals.seconds, 3),
            "rows_per_second": round(totals.done_rows / max(totals.seconds, 1e-6)),
        }


class Keys(Step[SplitContext]):
    """Primary keys and constraints: the apply worker finds rows by them."""

    name = "keys"
    title = "build primary keys and constraints on the own database"
    deadline_seconds = 86_400.0

    async def check(self, context: SplitContext) -> Check:
        names = [table.name for table in context.spec.tables]
        ours = await find_tables(await context.control(Side.SHARED), names)
        theirs = await find_tables(await context.control(Side.OWN), names)
        missing = [
            str(name)
            for name, table in ours.items()
            if name not in theirs
            or theirs[name].primary_key != table.primary_key
            or not theirs[name].has_replica_identity
        ]
        return needed(f"without key: {', '.join(missing)}") if missing else done()

    async def apply(self, context: SplitContext) -> None:
        await schema_copy.create_keys(context, await schema_copy.plan_schema(context))


async def _refuse_unless_shared_owns(context: SplitContext) -> None:
    """Emptying the own side is only right while nobody can have written there."""
    shared, own = await context.control(Side.SHARED), await context.control(Side.OWN)
    tables = fenced_tables(context)
    states = (
        await fence_state(shared, context.names, tables),
        await fence_state(own, context.names, tables),
    )
    if states[0] in (FenceState.FENCED, FenceState.MIXED) or states[1] in ACCEPTING:
        raise StateError(f"a copy may not start over now: {describe_owner(*states)}")


async def _is_copied(context: SplitContext) -> bool:
    """Whether every piece was copied behind the slot that exists now."""
    own = await context.control(Side.OWN)
    relation = context.names.relation("copied")
    if not await own.fetchval("SELECT to_regclass($1) IS NOT NULL", relation):
        return False
    return bool(
        await own.fetchval(
            f"SELECT EXISTS (SELECT FROM {relation} WHERE slot = $1 AND relation = $2)",
            context.names.slot(Direction.FORWARD),
            EVERYTHING,
        )
    )
