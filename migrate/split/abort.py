"""Takes a split back: nothing is left on either side, and the shared database is as it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from migrate.split import cleaner, keeper, loose_keys
from migrate.split.backup import back_up
from migrate.split.clean_up import drop_copies
from migrate.split.context import SplitContext
from migrate.split.fence import ACCEPTING, FenceState, fence_state, fenced_tables
from migrate.split.follow_steps import drop_fence
from migrate.split.model import SplitError, StateError
from migrate.split.names import Direction, Side
from migrate.split.publication import (
    drop_publication,
    drop_subscription,
    find_subscription,
    has_publication,
)
from migrate.split.scaffold import drop_scaffold, has_scaffold
from migrate.split.slots import drop_slot, find_slot
from migrate.split.switch import read_ownership
from migrate.steps import Check, Plan, Step, done, needed
from shared.states import DataState


class SharedOwns(Step[SplitContext]):
    """An abort drops the own side's rows, so the shared side must be the owner."""

    name = "shared_owns"
    title = "see that the shared database owns the tables"

    async def check(self, context: SplitContext) -> Check:
        return needed()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        service = context.spec.service
        placement = await context.control_desk.placement()
        if placement.side != "shared":
            raise StateError(
                f"the own database owns the tables of {service}; `migrate rollback {service}` first"
            )
        if await has_scaffold(context, Side.SHARED):
            ownership = await read_ownership(context)
            shared = ownership.fences[Side.SHARED]
            if shared is not FenceState.ABSENT and shared not in ACCEPTING:
                raise StateError(
                    f"{ownership.describe()}; run `migrate rollback {service}` to its end first"
                )
        return {"placement": str(placement.state)}


class KeepCopy(Step[SplitContext]):
    """A backup of the own side's rows, if it was ever the owner; else they are only a copy."""

    name = "backup"
    title = "back up the own database's rows if it was ever the owner"
    deadline_seconds = 48 * 3600.0

    def __init__(self, directory: Path, *, check: bool = True) -> None:
        self._directory = directory
        self._check = check

    async def check(self, context: SplitContext) -> Check:
        if not await has_scaffold(context, Side.OWN):
            return done("nothing is there")
        ownership = await read_ownership(context)
        return needed() if ownership.last is not None else done("it never owned the tables")

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        tables = context.spec.tables
        backup = await back_up(context, Side.OWN, tables, self._directory, check=self._check)
        return backup.as_json()


class StopStreams(Step[SplitContext]):
    """Subscriptions first, then slots, then publications: in another order they wait for each other."""

    name = "stop_streams"
    title = "drop subscriptions, slots and publications of both directions"
    deadline_seconds = 120.0

    async def check(self, context: SplitContext) -> Check:
        for direction in Direction:
            source = await context.source(direction)
            if (
                await find_subscription(context, direction) is not None
                or await find_slot(source, context.names.slot(direction)) is not None
                or await has_publication(source, context.names.publication(direction))
            ):
                return needed()
        return done()

    async def apply(self, context: SplitContext) -> None:
        await keeper.dismiss_keeper(context)
        for direction in Direction:
            await drop_subscription(context, direction)
        for direction in Direction:
            await drop_slot(context, direction)
        for direction in Direction:
            await drop_publication(context, direction)


class RestoreKeys(Step[SplitContext]):
    """Crossing foreign keys are back on the shared database."""

    name = "restore_keys"
    title = "put the crossing foreign keys back"
    deadline_seconds = 600.0

    async def check(self, context: SplitContext) -> Check:
        if not await has_scaffold(context, Side.SHARED):
            return done()
        keys = await cleaner.recorded_keys(context)
        return needed(f"{len(keys)} keys") if keys else done()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        return {"unchecked": await loose_keys.restore_keys(context)}


class DropFences(Step[SplitContext]):
    """No trigger of the split is left on a table."""

    name = "drop_fences"
    title = "remove the fences"
    deadline_seconds = 300.0

    async def check(self, context: SplitContext) -> Check:
        for side in Side:
            connection = await context.control(side)
            state = await fence_state(connection, context.names, fenced_tables(context))
            if state is not FenceState.ABSENT:
                return needed()
        return done()

    async def apply(self, context: SplitContext) -> None:
        for side in Side:
            await drop_fence(context, side)


class DropCopies(Step[SplitContext]):
    """What the split created on the own database is gone; tables that were there before are empty."""

    name = "drop_copies"
    title = "remove from the own database what the split has put there"
    deadline_seconds = 600.0

    async def check(self, context: SplitContext) -> Check:
        return needed() if await has_scaffold(context, Side.OWN) else done()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        return await drop_copies(context)


class DropScaffolds(Step[SplitContext]):
    """The split's schema is gone from both sides."""

    name = "drop_scaffold"
    title = "drop the split's schema on both sides"
    deadline_seconds = 120.0

    async def check(self, context: SplitContext) -> Check:
        for side in Side:
            connection = await context.control(side)
            if await connection.fetchval(
                "SELECT to_regnamespace($1) IS NOT NULL", context.names.schema
            ):
                return needed()
        return done()

    async def apply(self, context: SplitContext) -> None:
        for side in Side:
            await drop_scaffold(context, side)


class Unclaim(Step[SplitContext]):
    """The control store says that the tables are shared."""

    name = "unclaim"
    title = "record that the tables are in the shared database only"

    async def check(self, context: SplitContext) -> Check:
        placement = await context.control_desk.placement()
        return done() if placement.state is DataState.SHARED else needed(placement.state)

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        change = await context.control_desk.move(DataState.SHARED, "split aborted")
        return {"version": change.version}


def abort_plan(backups: Path, *, check_backup: bool = True) -> Plan[SplitContext]:
    """Steps of an abort; each may be repeated, and running it again goes on."""
    return Plan(
        kind="abort",
        steps=(
            SharedOwns(),
            KeepCopy(backups, check=check_backup),
            StopStreams(),
            RestoreKeys(),
            DropFences(),
            DropCopies(),
            DropScaffolds(),
            Unclaim(),
        ),
        on_failure="keep",
    )


async def leftovers(context: SplitContext) -> dict[str, list[str]]:
    """Everything with a name of this split that is in either database; empty lists when clean."""
    names = context.names
    found: dict[str, list[str]] = {}
    for side in Side:
        connection = await context.control(side)
        rows = await connection.fetch(
            "SELECT 'schema ' || nspname AS what FROM pg_namespace WHERE nspname = $1"
            " UNION ALL SELECT 'publication ' || pubname FROM pg_publication WHERE pubname = ANY ($2)"
            " UNION ALL SELECT 'subscription ' || subname FROM pg_subscription WHERE subname = ANY ($3)"
            " UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE slot_name = ANY ($3)"
            " UNION ALL SELECT 'trigger ' || tgname || ' on ' || tgrelid::regclass FROM pg_trigger"
            " WHERE tgname LIKE $4 OR (tgname LIKE 'split\\_log\\_%' AND tgfoid::regproc::text LIKE $5)"
            " UNION ALL SELECT 'database ' || datname FROM pg_database WHERE datname LIKE $6"
            " UNION ALL SELECT 'replication origin ' || roname FROM pg_replication_origin o"
            " WHERE roname LIKE 'pg\\_%' AND NOT EXISTS (SELECT FROM pg_subscription s"
            " WHERE 'pg_' || s.oid = o.roname)",
            names.schema,
            [names.publication(direction) for direction in Direction],
            [names.slot(direction) for direction in Direction],
            names.fence_trigger.replace("_", "\\_") + "%",
            f"%{names.schema}%",
            f"\\_split\\_scratch\\_{names.service}\\_%",
        )
        found[str(side)] = sorted(row["what"] for row in rows)
    return found


def require_clean(found: Mapping[str, list[str]]) -> None:
    """Raise SplitError when something is left."""
    lines = [f"{side}: {what}" for side, things in found.items() for what in things]
    if lines:
        raise SplitError("something of the split is left: " + "; ".join(lines))
