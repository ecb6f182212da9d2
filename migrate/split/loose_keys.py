"""Replaces crossing foreign keys by a delete log for the cleaner, and puts them back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import asyncpg

from migrate.split.catalogue import find_tables
from migrate.split.cleaner import KIND, clean, recorded_keys
from migrate.split.connection import Connection
from migrate.split.context import SplitContext
from migrate.split.crossing import CrossingKey, Fate, fate, find_crossing_keys
from migrate.split.model import SplitError
from migrate.split.names import Direction, Side, TableName, literal, quote
from migrate.split.scaffold import record_objects
from migrate.split.switch import SwitchContext
from migrate.split.switch_steps import PastReturnError
from migrate.steps import Check, Step, done, needed

#: Longest check of a key that was put back, in seconds; then it stays unchecked, which is reported.
VALIDATE_SECONDS = 30.0


def log_sql(schema: str) -> str:
    """The delete log and its trigger function; arguments: constraint, then the parent's key columns."""
    return f"""
CREATE TABLE IF NOT EXISTS {schema}.deleted (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key_name text NOT NULL, key jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE OR REPLACE FUNCTION {schema}.log_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $log$
DECLARE
  key jsonb := '[]';
BEGIN
  FOR position IN 1..TG_NARGS - 1 LOOP
    key := key || jsonb_build_array(to_jsonb(OLD) -> TG_ARGV[position]);
  END LOOP;
  INSERT INTO {schema}.deleted (key_name, key) VALUES (TG_ARGV[0], key);
  RETURN NULL;
END $log$;
"""


def log_trigger_sql(schema: str, key: CrossingKey) -> str:
    """Log deletions of the parent; an apply worker does not fire it, so only the owner logs."""
    arguments = ", ".join(literal(value) for value in (key.name, *key.parent_columns))
    return (
        f"CREATE OR REPLACE TRIGGER {quote(key.log_trigger)} AFTER DELETE ON {key.parent.sql}"
        f" FOR EACH ROW EXECUTE FUNCTION {schema}.log_delete({arguments})"
    )


class CutKeys(Step[SwitchContext]):
    """Crossing keys go before the fence: a cascade into a fenced table would fail its statement."""

    name = "cut_keys"
    title = "drop foreign keys that cross the boundary; log deletions instead"
    deadline_seconds = 120.0

    async def check(self, context: SwitchContext) -> Check:
        if context.direction is Direction.REVERSE:
            return done("they stay cut until the split is aborted")
        keys = await current_keys(context.split)
        return needed(f"{len(keys)} keys") if keys else done()

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        keys = await current_keys(context.split)
        await cut_keys(context.split, keys)
        return {"keys": [str(key) for key in keys]}

    async def undo(self, context: SwitchContext) -> None:
        if await context.is_fenced():
            raise PastReturnError(context.direction, context.split.spec.service)
        if context.direction is Direction.FORWARD:
            await restore_keys(context.split)


async def current_keys(context: SplitContext) -> list[CrossingKey]:
    """Crossing keys that the shared database still has."""
    shared = await context.control(Side.SHARED)
    names = [table.name for table in context.spec.whole_tables]
    tables = await find_tables(shared, names)
    return await find_crossing_keys(shared, [table.oid for table in tables.values()])


async def cut_keys(context: SplitContext, keys: Sequence[CrossingKey]) -> None:
    """Record, then drop each key in one short transaction with the making of its log."""
    schema = quote(context.names.schema)
    shared, own = await context.control(Side.SHARED), await context.control(Side.OWN)
    await record_objects(
        shared,
        context.names,
        [(KIND, f"{key.name} on {key.child}", json.dumps(asdict(key))) for key in keys],
    )
    for connection in (shared, own):
        await connection.execute(log_sql(schema))
    for key in keys:
        is_loose = fate(key, context.spec.deletion_events) is Fate.LOOSE
        log = log_trigger_sql(schema, key) if is_loose else ""
        if log and not key.is_outgoing:
            await patiently(context, own, [log])  # the parent moves: its owner may be either side
        await patiently(context, shared, [key.drop_sql, *([log] if log else [])])


async def restore_keys(context: SplitContext) -> list[str]:
    """Put every cut key back on the shared database; returns those that rows no longer satisfy."""
    shared, own = await context.control(Side.SHARED), await context.control(Side.OWN)
    await clean(context)
    unchecked = []
    for key in await recorded_keys(context):
        if not await _is_there(shared, key.child, key.parent):
            unchecked.append(f"{key.name} is not back: {key.child} or {key.parent} has moved out")
            await _forget_key(context, key)
            continue
        drop_log = f"DROP TRIGGER IF EXISTS {quote(key.log_trigger)} ON {key.parent.sql}"
        exists = await shared.fetchval(
            "SELECT EXISTS (SELECT FROM pg_constraint WHERE conname = $1 AND conrelid = to_regclass($2))",
            key.name,
            key.child.sql,
        )
        await patiently(context, shared, [drop_log, *([] if exists else [key.restore_sql])])
        if not key.is_outgoing:
            await patiently(context, own, [drop_log])
        if key.is_valid:
            try:
                await shared.execute(key.validate_sql, timeout=VALIDATE_SECONDS)
            except (asyncpg.ForeignKeyViolationError, TimeoutError, asyncpg.QueryCanceledError):
                unchecked.append(f"{key.name} on {key.child} is back, but not all rows satisfy it")
        await _forget_key(context, key)
    return unchecked


async def _is_there(connection: Connection, *tables: TableName) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest($1::text[]) AS t (name)",
            [table.sql for table in tables],
        )
    )


async def _forget_key(context: SplitContext, key: CrossingKey) -> None:
    shared = await context.control(Side.SHARED)
    await shared.execute(
        f"DELETE FROM {context.names.relation('object')} WHERE kind = $1 AND identity = $2",
        KIND,
        f"{key.name} on {key.child}",
    )


async def drop_logs(context: SplitContext) -> list[str]:
    """Remove the logging triggers without putting the keys back: the boundary is final.

    Returns the keys whose deletions nobody carries over from now on.
    """
    await clean(context)
    shared, own = await context.control(Side.SHARED), await context.control(Side.OWN)
    keys = await recorded_keys(context)
    for key in keys:
        for connection in (shared, own):
            if await _is_there(connection, key.parent):
                drop_log = f"DROP TRIGGER IF EXISTS {quote(key.log_trigger)} ON {key.parent.sql}"
                await patiently(context, connection, [drop_log])
    await shared.execute(f"DELETE FROM {context.names.relation('object')} WHERE kind = $1", KIND)
    return [str(key) for key in keys if fate(key, context.spec.deletion_events) is Fate.LOOSE]


async def patiently(
    context: SplitContext, connection: Connection, statements: Sequence[str]
) -> None:
    """One short transaction that gives up its place in the queue instead of stopping readers."""
    limits = context.limits
    for attempt in range(limits.lock_attempts):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{limits.lock_timeout_ms}ms'")
                for statement in statements:
                    await connection.execute(statement)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(limits.lock_backoff_seconds * (1 + attempt % 3))
        else:
            return
    raise SplitError(
        f"`{statements[0]}` did not get its lock: long transactions hold the table;"
        " see pg_stat_activity and run the command again"
    )
