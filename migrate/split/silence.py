"""Tells whether anybody still reads the tables that were left behind, from PostgreSQL's scan counters.

The apply worker scans too: once through the replica identity for each update or delete that it applies,
which counts as a changed row as well. What exceeds that is a reader. Verification reads by ranges of
pages, which PostgreSQL does not count as scans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migrate.split.connection import Connection
from migrate.split.context import SplitContext
from migrate.split.names import Side
from migrate.split.switch import SwitchContext
from migrate.steps import Check, Step, done, needed

COUNTERS = """
SELECT n.nspname || '.' || c.relname AS relation, c.oid::bigint AS oid,
  coalesce(pg_stat_get_numscans(c.oid), 0) AS sequential,
  coalesce((SELECT sum(pg_stat_get_numscans(i.indexrelid)) FROM pg_index i
            WHERE i.indrelid = c.oid AND NOT (i.indisprimary OR i.indisreplident)), 0)::bigint AS others,
  coalesce((SELECT sum(pg_stat_get_numscans(i.indexrelid)) FROM pg_index i
            WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisreplident)), 0)::bigint AS by_key,
  coalesce(pg_stat_get_tuples_updated(c.oid), 0) + coalesce(pg_stat_get_tuples_deleted(c.oid), 0) AS changes
FROM unnest($1::text[]) AS w (name) JOIN pg_class c ON c.oid = w.name::regclass
  JOIN pg_namespace n ON n.oid = c.relnamespace
"""


@dataclass(frozen=True, slots=True)
class Counters:
    """Scan counters of one table at one moment."""

    sequential: int
    others: int
    by_key: int
    changes: int

    def reads_since(self, before: Counters) -> int:
        """Scans that were not the apply worker's; a reset of the statistics counts as one read."""
        parts = (
            self.sequential - before.sequential,
            self.others - before.others,
            self.changes - before.changes,
        )
        if min(parts) < 0 or self.by_key < before.by_key:
            return 1
        by_key = (self.by_key - before.by_key) - (self.changes - before.changes)
        return parts[0] + parts[1] + max(0, by_key)


@dataclass(frozen=True, slots=True)
class Silence:
    """How long one old table has not been read, in seconds, and reads found at this look."""

    table: str
    seconds: float
    reads: int


async def read_counters(connection: Connection, context: SplitContext) -> dict[str, Counters]:
    """By quoted name of the moved whole tables; filtered ones are everybody's."""
    names = {f"{t.name.schema}.{t.name.name}": str(t.name) for t in context.spec.whole_tables}
    rows = await connection.fetch(COUNTERS, [t.name.sql for t in context.spec.whole_tables])
    return {
        names[row["relation"]]: Counters(
            row["sequential"], row["others"], row["by_key"], row["changes"]
        )
        for row in rows
    }


async def start_watching(context: SplitContext) -> None:
    """Remember the counters of now for every old table."""
    shared = await context.control(Side.SHARED)
    table = context.names.relation("silence")
    await shared.execute(
        f"CREATE TABLE IF NOT EXISTS {table} (relation text PRIMARY KEY, sequential bigint NOT NULL,"
        " others bigint NOT NULL, by_key bigint NOT NULL, changes bigint NOT NULL,"
        " at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    await shared.execute(f"TRUNCATE {table}")
    await _store(shared, table, await read_counters(shared, context))


async def _store(connection: Connection, table: str, counters: Mapping[str, Counters]) -> None:
    await connection.executemany(
        f"INSERT INTO {table} (relation, sequential, others, by_key, changes)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (relation) DO UPDATE SET"
        " sequential = excluded.sequential, others = excluded.others, by_key = excluded.by_key,"
        " changes = excluded.changes, at = clock_timestamp()",
        [(name, c.sequential, c.others, c.by_key, c.changes) for name, c in counters.items()],
    )


async def look(context: SplitContext) -> list[Silence]:
    """How long each old table has been silent; a read found now starts its silence anew."""
    shared = await context.control(Side.SHARED)
    table = context.names.relation("silence")
    if not await shared.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
        return []
    now = await read_counters(shared, context)
    rows = await shared.fetch(
        "SELECT relation, sequential, others, by_key, changes,"
        f" extract(epoch FROM clock_timestamp() - at)::float8 AS seconds FROM {table}"
    )
    found: list[Silence] = []
    broken: dict[str, Counters] = {}
    for row in rows:
        name = row["relation"]
        if name not in now:
            continue
        before = Counters(row["sequential"], row["others"], row["by_key"], row["changes"])
        reads = now[name].reads_since(before)
        if reads:
            broken[name] = now[name]
        found.append(Silence(name, 0.0 if reads else row["seconds"], reads))
    await _store(shared, table, broken)
    return sorted(found, key=lambda entry: entry.table)


class WatchReads(Step[SwitchContext]):
    """From now on reads of the old tables are noticed."""

    name = "watch_reads"
    title = "remember the scan counters of the old tables"

    async def check(self, context: SwitchContext) -> Check:
        if context.direction.source is not Side.SHARED:
            return done("the shared tables are in use")
        return needed()

    async def apply(self, context: SwitchContext) -> None:
        await start_watching(context.split)
