"""Replication slots of a split: making, advancing, dropping, and what they hold back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from migrate.split.connection import CONNECTION_LOST, Connection, close, connect
from migrate.split.context import SplitContext
from migrate.split.model import Endpoint, SplitError
from migrate.split.names import Direction, literal, quote

#: Longest wait for the server to take back a slot that is being made, and between two looks, in seconds.
CANCEL_SECONDS = 10.0
CANCEL_POLL = 0.02

#: A slot waits for these: every transaction with a transaction id, in any database of the cluster.
IN_THE_WAY = """
SELECT pid, datname AS database, coalesce(nullif(application_name, ''), '-') AS application,
  round(extract(epoch FROM clock_timestamp() - xact_start))::int AS seconds,
  left(regexp_replace(query, '\\s+', ' ', 'g'), 80) AS query
FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY xact_start LIMIT 5
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of this split. LSNs as integers; `retained_bytes` is the WAL it keeps on disk."""

    name: str
    is_active: bool
    active_pid: int | None
    wal_status: str | None
    safe_wal_bytes: int | None
    retained_bytes: int
    behind_bytes: int


class SlotBlockedError(SplitError):
    """A slot could not be made in time."""

    def __init__(self, name: str, seconds: float, culprits: list[str]) -> None:
        who = "; ".join(culprits) or "no open transaction is visible to this role"
        super().__init__(
            f"slot {name} could not be made within {seconds:g} s, because it waits for every"
            f" writing transaction of the server: {who}; let them end and run the command again"
        )
        self.culprits = culprits


async def find_slot(connection: Connection, name: str) -> Slot | None:
    """The slot of that name; None when there is none."""
    row = await connection.fetchrow(
        "SELECT slot_name AS name, active AS is_active, active_pid, wal_status,"
        " safe_wal_size AS safe_wal_bytes,"
        " coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint AS retained_bytes,"
        " coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint"
        "   AS behind_bytes FROM pg_replication_slots WHERE slot_name = $1",
        name,
    )
    return None if row is None else Slot(**dict(row))


async def culprits(connection: Connection) -> list[str]:
    """Transactions that a new slot has to wait for, oldest first, as text."""
    rows = await connection.fetch(IN_THE_WAY)
    return [
        f"pid {row['pid']} in {row['database']} ({row['application']}, {row['seconds']} s):"
        f" {row['query']}"
        for row in rows
    ]


async def create_slot(context: SplitContext, direction: Direction) -> None:
    """A slot without a snapshot, for the way back; cancelled cleanly at the deadline. Idempotent."""
    name = context.names.slot(direction)
    control = await context.source(direction)
    found = await find_slot(control, name)
    if found is not None and found.wal_status != "lost":
        return
    if found is not None:
        await drop_slot(context, direction)
    seconds = context.limits.slot_seconds
    maker = await context.session(direction.source, "slot")
    try:
        async with asyncio.timeout(seconds):
            await maker.execute(
                f"SELECT pg_create_logical_replication_slot({literal(name)}, 'pgoutput')",
                timeout=seconds + 5.0,
            )
    except TimeoutError as error:
        who = await culprits(control)
        await _cancel(control, maker, name)
        raise SlotBlockedError(name, seconds, who) from error
    except BaseException:
        await asyncio.shield(_cancel(control, maker, name))
        raise
    await close(maker)


async def _cancel(control: Connection, maker: Connection, name: str) -> None:
    """Stop the making of a slot on the server, and wait until nothing is left of it.

    Closing the connection would not do, for the server does not look at it while it waits.
    """
    pid = maker.get_server_pid()
    with suppress(*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError):
        async with asyncio.timeout(CANCEL_SECONDS):
            while True:
                await control.execute("SELECT pg_cancel_backend($1)", pid)
                slot = await find_slot(control, name)
                if slot is None or slot.active_pid != pid:
                    break
                await asyncio.sleep(CANCEL_POLL)
    maker.terminate()


async def advance_slot(context: SplitContext, direction: Direction, lsn: int) -> None:
    """Skip everything before a position that is flushed; backwards is not a move."""
    connection = await context.source(direction)
    name = context.names.slot(direction)
    await connection.execute(
        "SELECT pg_replication_slot_advance(slot_name, '0/0'::pg_lsn + $2::numeric)"
        " FROM pg_replication_slots WHERE slot_name = $1"
        " AND confirmed_flush_lsn < '0/0'::pg_lsn + $2::numeric",
        name,
        lsn,
        timeout=60.0,
    )


async def drop_slot(context: SplitContext, direction: Direction, seconds: float = 15.0) -> None:
    """Drop it, ending whoever still reads from it. Idempotent."""
    connection = await context.source(direction)
    name = context.names.slot(direction)
    until = asyncio.get_running_loop().time() + seconds
    while (slot := await find_slot(connection, name)) is not None:
        try:
            await connection.execute("SELECT pg_drop_replication_slot($1)", name)
        except asyncpg.ObjectInUseError as error:
            if asyncio.get_running_loop().time() > until:
                raise SplitError(
                    f"slot {name} stays in use by pid {slot.active_pid};"
                    " end that process and run the command again"
                ) from error
            if slot.active_pid is not None:
                with suppress(asyncpg.InsufficientPrivilegeError):
                    await connection.execute("SELECT pg_terminate_backend($1)", slot.active_pid)
            await asyncio.sleep(0.05)
        except asyncpg.UndefinedObjectError:
            return


@dataclass(frozen=True, slots=True)
class ExportedSnapshot:
    """A slot and the snapshot of the moment it starts from; valid while `connection` lives."""

    connection: Connection
    snapshot: str
    backend_pid: int


async def create_slot_with_snapshot(
    endpoint: Endpoint, name: str, seconds: float
) -> ExportedSnapshot:
    """Make a slot over a replication connection; its snapshot is what was committed before it.

    asyncpg sends the walsender's commands as simple queries; their rows cannot be read back, so
    the name of the snapshot comes as the value of a session setting. Keywords are upper case
    because the walsender's own parser takes them only so.
    """
    control = await connect(endpoint, "snapshot")
    connection = await connect(endpoint, "snapshot", settings={"replication": "database"})
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        async with asyncio.timeout(seconds):
            await connection.execute(
                f"CREATE_REPLICATION_SLOT {quote(name)} LOGICAL pgoutput (SNAPSHOT 'use')",
                timeout=seconds + 5.0,
            )
        await connection.execute(
            "SELECT set_config('application_name', pg_export_snapshot(), false)"
        )
        snapshot: str = connection.get_settings().application_name
    except TimeoutError as error:
        who = await culprits(control)
        await _cancel(control, connection, name)
        raise SlotBlockedError(name, seconds, who) from error
    except BaseException:
        await asyncio.shield(_cancel(control, connection, name))
        raise
    finally:
        await close(control)
    return ExportedSnapshot(connection, snapshot, connection.get_server_pid())


async def snapshot_is_valid(connection: Connection, snapshot: str) -> bool:
    """Whether another transaction can still look at the database through this snapshot."""
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
    except (asyncpg.PostgresError, *CONNECTION_LOST):
        return False
    return True
