"""The fence: triggers that refuse writes on the side that does not own the tables."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from migrate.split.connection import Connection
from migrate.split.context import SplitContext
from migrate.split.model import MovedTable
from migrate.split.names import Names, literal, quote
from migrate.split.row_filter import qualify


class FenceState(StrEnum):
    """What the fence of one side does, over all of its tables."""

    ABSENT = "absent"  # no trigger anywhere
    OPEN = "open"  # every trigger is there and disabled
    PASSING = "passing"  # every trigger is enabled, and the gate lets everybody through
    FENCED = "fenced"  # every trigger is enabled and the gate is shut
    MIXED = "mixed"  # a hand has been at work


def fenced_tables(context: SplitContext) -> tuple[MovedTable, ...]:
    """The moved tables and the canary's, in the order of the service's list."""
    return (*context.spec.tables, MovedTable(context.names.canary))


def trigger_names(names: Names, table: MovedTable) -> tuple[str, ...]:
    """A whole table has one trigger; a filtered one looks at new and at old rows."""
    base = names.fence_trigger
    return (f"{base}_new", f"{base}_old") if table.row_filter else (base,)


def create_trigger_sql(names: Names, table: MovedTable) -> str:
    """Create the trigger(s) of one table, enabled as any trigger is."""
    function = f"{quote(names.schema)}.fence()"
    if not table.row_filter:
        return (
            f"CREATE TRIGGER {quote(names.fence_trigger)} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
            f" ON {table.name.sql} FOR EACH STATEMENT EXECUTE FUNCTION {function};"
        )
    new, old = trigger_names(names, table)
    return (
        f"CREATE TRIGGER {quote(new)} BEFORE INSERT OR UPDATE ON {table.name.sql} FOR EACH ROW"
        f" WHEN ({qualify(table.row_filter, 'new')}) EXECUTE FUNCTION {function};"
        f"CREATE TRIGGER {quote(old)} BEFORE UPDATE OR DELETE ON {table.name.sql} FOR EACH ROW"
        f" WHEN ({qualify(table.row_filter, 'old')}) EXECUTE FUNCTION {function};"
    )


def alter_sql(names: Names, tables: Iterable[MovedTable], action: str) -> str:
    """ENABLE or DISABLE the triggers of the tables, as one string of statements."""
    return " ".join(
        f"ALTER TABLE {table.name.sql} {action} TRIGGER {quote(trigger)};"
        for table in tables
        for trigger in trigger_names(names, table)
    )


def drop_sql(names: Names, tables: Iterable[MovedTable]) -> str:
    """Drop the triggers; takes ACCESS EXCLUSIVE for a moment."""
    return " ".join(
        f"DROP TRIGGER IF EXISTS {quote(trigger)} ON {table.name.sql};"
        for table in tables
        for trigger in trigger_names(names, table)
    )


async def fence_state(
    connection: Connection, names: Names, tables: Iterable[MovedTable]
) -> FenceState:
    """What the triggers of these tables say now; a table that is gone has none."""
    wanted = [
        (table.name.schema, table.name.name, trigger)
        for table in tables
        for trigger in trigger_names(names, table)
    ]
    rows = await connection.fetch(
        "SELECT t.tgenabled::text AS enabled FROM unnest($1::text[], $2::text[], $3::text[])"
        " AS w (schema, name, trigger) JOIN pg_namespace n ON n.nspname = w.schema"
        " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name"
        " JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = w.trigger",
        *(list(column) for column in zip(*wanted, strict=True)),
    )
    if not rows:
        return FenceState.ABSENT
    found = {row["enabled"] for row in rows}
    if len(rows) < len(wanted) or len(found) > 1:
        return FenceState.MIXED
    if found != {"O"}:
        return FenceState.OPEN
    gate = await connection.fetchval(f"SELECT last_value FROM {names.relation('gate')}")
    return FenceState.PASSING if gate > 0 else FenceState.FENCED


#: States in which a side takes writes.
ACCEPTING = frozenset({FenceState.OPEN, FenceState.PASSING})


def shut_sql(names: Names, tables: Iterable[MovedTable], number: int) -> str:
    """Shut a side, as part of a transaction that holds its tables.

    The gate is a sequence, so that shutting it is not undone by a rollback; with the triggers
    disabled again it means nothing.
    """
    shut = f"SELECT setval({literal(names.relation('gate'))}::regclass, {-number}); "
    return shut + alter_sql(names, tables, "ENABLE")


async def hit_counts(connection: Connection, names: Names) -> int:
    """How many statements this side's fence has refused."""
    value = await connection.fetchval(
        "SELECT last_value FROM pg_sequences WHERE schemaname = $1 AND sequencename = 'hits_total'",
        names.schema,
    )
    return 0 if value is None else int(value) + 1


def describe_owner(shared: FenceState, own: FenceState) -> str:
    """One sentence about who accepts writes."""
    shared, own = (FenceState.OPEN if state in ACCEPTING else state for state in (shared, own))
    sentences = {
        (FenceState.ABSENT, FenceState.ABSENT): "the tables are not split",
        (FenceState.OPEN, FenceState.FENCED): "the shared database owns the tables",
        (FenceState.FENCED, FenceState.OPEN): "the own database owns the tables",
        (FenceState.FENCED, FenceState.FENCED): "a switch is under way, no side accepts writes",
        (
            FenceState.OPEN,
            FenceState.OPEN,
        ): "BOTH SIDES ACCEPT WRITES: stop the writers of one side",
    }
    return sentences.get((shared, own), f"the shared side is {shared}, the own side is {own}")
