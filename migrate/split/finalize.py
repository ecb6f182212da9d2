"""Ends a split for good: the own database keeps the tables, the old ones are renamed, later dropped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from migrate.split import cleaner, loose_keys, silence
from migrate.split.abort import DropFences, DropScaffolds, StopStreams
from migrate.split.backup import back_up
from migrate.split.catalogue import find_tables
from migrate.split.context import SplitContext
from migrate.split.model import SplitError, StateError
from migrate.split.names import Direction, Side, TableName, literal, quote
from migrate.split.old_tables import old_name, old_tables
from migrate.split.scaffold import has_scaffold
from migrate.split.switch import read_ownership
from migrate.split.verify.verification import NotEqualError, verify
from migrate.steps import Check, Plan, Step, done, needed
from shared.states import DataState

SECONDS_PER_DAY = 86_400.0


class OwnOwns(Step[SplitContext]):
    """Only tables that the own database owns can be final."""

    name = "own_owns"
    title = "see that the own database owns the tables"

    async def check(self, context: SplitContext) -> Check:
        placement = await context.control_desk.placement()
        return done("final already") if placement.state is DataState.FINAL else needed()

    async def apply(self, context: SplitContext) -> None:
        ownership = await read_ownership(context)
        placement = await context.control_desk.placement()
        if ownership.owner is not Side.OWN or placement.state is not DataState.OWN:
            raise StateError(
                f"{ownership.describe()} and the placement is {placement.state};"
                f" `migrate cutover {context.spec.service}` comes before finalize"
            )


class FinalVerify(Step[SplitContext]):
    """A last exact match, in the direction that flows now."""

    name = "final_verify"
    title = "compare every row of both sides a last time"
    deadline_seconds = 7 * SECONDS_PER_DAY

    def __init__(self, jobs: int = 2) -> None:
        self._jobs = jobs

    async def check(self, context: SplitContext) -> Check:
        return await _is_final(context)

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        result = await verify(context, Direction.REVERSE, jobs=self._jobs)
        if not result.is_equal:
            raise NotEqualError(context.spec.service, list(result.verdicts))
        return result.as_json()


class Silent(Step[SplitContext]):
    """Nobody has read the old tables for the soak time."""

    name = "silent"
    title = "see that nobody has read the old tables for the soak time"

    def __init__(self, soak_days: float) -> None:
        self._soak_days = soak_days

    async def check(self, context: SplitContext) -> Check:
        return await _is_final(context)

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        found = await silence.look(context)
        wanted = self._soak_days * SECONDS_PER_DAY
        if not found:
            raise StateError(
                "the reads of the old tables were never watched; roll back and cut over"
            )
        broken = [entry for entry in found if entry.seconds < wanted]
        if broken:
            lines = "; ".join(
                f"{entry.table} is silent for {entry.seconds / SECONDS_PER_DAY:.2f} days"
                + (f" ({entry.reads} reads just found)" if entry.reads else "")
                for entry in broken
            )
            raise SplitError(
                f"the old tables must be silent for {self._soak_days:g} days: {lines};"
                " pg_stat_activity and `migrate db inspect` tell who reads them"
            )
        return {entry.table: round(entry.seconds) for entry in found}


class KeepOld(Step[SplitContext]):
    """A backup of the old tables, restored once and compared."""

    name = "backup"
    title = "back up the old tables and restore the backup into a scratch database"
    deadline_seconds = 2 * SECONDS_PER_DAY

    def __init__(self, directory: Path, *, check: bool = True) -> None:
        self._directory = directory
        self._check = check

    async def check(self, context: SplitContext) -> Check:
        return await _is_final(context)

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        backup = await back_up(
            context, Side.SHARED, context.spec.tables, self._directory, check=self._check
        )
        return backup.as_json()


class Final(Step[SplitContext]):
    """The point of no return: from here on there is no way back without a new copy."""

    name = "final"
    title = "record that the own database keeps the tables for good"

    async def check(self, context: SplitContext) -> Check:
        return await _is_final(context)

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        change = await context.control_desk.move(DataState.FINAL, "split finalized")
        return {"version": change.version}


class RenameOld(Step[SplitContext]):
    """Old tables get names that nobody asks for, and nobody keeps a right on them."""

    name = "rename_old"
    title = "rename the old tables and take every right on them away"
    deadline_seconds = 300.0

    async def check(self, context: SplitContext) -> Check:
        shared = await context.control(Side.SHARED)
        if not await has_scaffold(context, Side.SHARED):
            return done()
        names = [table.name for table in context.spec.whole_tables]
        found = await find_tables(shared, names)
        return needed(f"{len(found)} tables") if found else done()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        shared = await context.control(Side.SHARED)
        day = datetime.now(UTC).strftime("%Y%m%d")
        names = [table.name for table in context.spec.whole_tables]
        renamed: dict[str, str] = {}
        for name in await find_tables(shared, names):
            new = old_name(name.name, day)
            await loose_keys.patiently(
                context,
                shared,
                [
                    f"ALTER TABLE {name.sql} RENAME TO {quote(new)}",
                    _revoke_sql(TableName(name.schema, new)),
                ],
            )
            renamed[str(name)] = new
        await self._remove_moved_rows(context, shared)
        return {"renamed": renamed}

    async def _remove_moved_rows(
        self, context: SplitContext, shared: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        """Of a table that moved in part, the moved rows go: the backup has them."""
        for table in context.spec.tables:
            if not table.row_filter:
                continue
            async with shared.transaction():
                if context.facts[Side.SHARED].can_be_replica:
                    await shared.execute("SET LOCAL session_replication_role = replica")
                else:
                    await shared.execute(f"ALTER TABLE {table.name.sql} DISABLE TRIGGER USER")
                await shared.execute(f"DELETE FROM {table.name.sql}{table.where}", timeout=300.0)
                if not context.facts[Side.SHARED].can_be_replica:
                    await shared.execute(f"ALTER TABLE {table.name.sql} ENABLE TRIGGER USER")


def _revoke_sql(name: TableName) -> str:
    """Take every right from everybody but the owner."""
    return (
        "DO $do$ DECLARE r record; BEGIN FOR r IN SELECT DISTINCT grantee"
        f" FROM pg_class c, aclexplode(c.relacl) WHERE c.oid = {literal(name.sql)}::regclass"
        " LOOP EXECUTE format('REVOKE ALL ON %s FROM %s', "
        f"{literal(name.sql)}, CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END);"
        " END LOOP; END $do$"
    )


class DropLogs(Step[SplitContext]):
    """Deletions of parents are carried over a last time; the boundary needs no log any more."""

    name = "drop_logs"
    title = "carry over logged deletions a last time and drop the logs"
    deadline_seconds = 600.0

    async def check(self, context: SplitContext) -> Check:
        if not await has_scaffold(context, Side.SHARED):
            return done()
        keys = await cleaner.recorded_keys(context)
        return needed(f"{len(keys)} keys") if keys else done()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        return {"no_longer_carried": await loose_keys.drop_logs(context)}


class DropOldFences(DropFences):
    """The fences go; the old tables have been renamed, their triggers with them."""

    async def apply(self, context: SplitContext) -> None:
        await super().apply(context)
        shared = await context.control(Side.SHARED)
        for name in await old_tables(shared, context.spec.tables):
            await loose_keys.patiently(
                context,
                shared,
                [
                    f"DROP TRIGGER IF EXISTS {quote(context.names.fence_trigger)}"
                    f" ON {name.table.sql}"
                ],
            )

    async def check(self, context: SplitContext) -> Check:
        return needed() if await has_scaffold(context, Side.SHARED) else done()


def finalize_plan(
    soak_days: float, backups: Path, *, check_backup: bool = True, verify_jobs: int = 2
) -> Plan[SplitContext]:
    """Steps of the end; up to `final` nothing has changed, after it the command only goes on."""
    return Plan(
        kind="finalize",
        steps=(
            OwnOwns(),
            FinalVerify(verify_jobs),
            Silent(soak_days),
            KeepOld(backups, check=check_backup),
            Final(),
            DropLogs(),
            StopStreams(),
            RenameOld(),
            DropOldFences(),
            DropScaffolds(),
        ),
        on_failure="keep",
        decides="final",
    )


async def _is_final(context: SplitContext) -> Check:
    placement = await context.control_desk.placement()
    return done("final already") if placement.state is DataState.FINAL else needed()
