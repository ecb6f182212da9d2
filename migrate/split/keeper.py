"""A small process that holds the snapshot of a copy, so that the copy outlives the command.

A snapshot lives as long as the connection that exported it. The keeper owns that connection and
nothing else; it goes when its lease, which the copying command renews, has run out (and then takes
the slot along, which would keep WAL for nobody), when the command tells it to, or when the database
goes. It knows no table.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from migrate.split.connection import CONNECTION_LOST, Connection, close, connect, without_secrets
from migrate.split.context import SplitContext
from migrate.split.model import Endpoint, SplitError
from migrate.split.names import Direction, Side, quote
from migrate.split.slots import ExportedSnapshot, create_slot_with_snapshot, snapshot_is_valid

#: How long a copy may be interrupted and still go on from where it was, in seconds.
LEASE_SECONDS = 900.0
#: How often the keeper looks at its lease, in seconds.
POLL_SECONDS = 1.0
#: How often the keeper tries to drop the slot of a copy that nobody came back for.
DROP_ATTEMPTS = 50
#: How long the keeper may take from its start to its first sign of life, beyond making the slot.
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot that others can use; `slot` starts where it ends."""

    slot: str
    snapshot: str
    backend_pid: int


class SnapshotFailedError(SplitError):
    """The keeper could not make slot and snapshot."""


async def start_keeper(context: SplitContext) -> KeptSnapshot:
    """Start a keeper for the forward slot and wait for its snapshot; raises SnapshotFailedError."""
    names, limits = context.names, context.limits
    slot = names.slot(Direction.FORWARD)
    control = await context.control(Side.SHARED)
    await control.execute(
        f"INSERT INTO {names.relation('snapshot')} (slot, lease_until)"
        " VALUES ($1, clock_timestamp() + make_interval(secs => $2)) ON CONFLICT (only_row)"
        " DO UPDATE SET slot = excluded.slot, snapshot = NULL, keeper_pid = NULL, failure = NULL,"
        " lease_until = excluded.lease_until",
        slot,
        limits.slot_seconds + LEASE_SECONDS,
    )
    order = {
        "dsn": context.endpoints[Side.SHARED].dsn,
        "schema": names.schema,
        "slot": slot,
        "seconds": limits.slot_seconds,
    }
    await asyncio.to_thread(_launch, json.dumps(order))
    until = asyncio.get_running_loop().time() + limits.slot_seconds + START_SECONDS
    while asyncio.get_running_loop().time() < until:
        row = await control.fetchrow(
            f"SELECT snapshot, keeper_pid, failure FROM {names.relation('snapshot')}"
        )
        if row is not None and row["failure"]:
            raise SnapshotFailedError(row["failure"])
        if row is not None and row["snapshot"]:
            return KeptSnapshot(slot, row["snapshot"], row["keeper_pid"])
        await asyncio.sleep(0.05)
    raise SnapshotFailedError(
        "the process that keeps the snapshot gave no sign of life; run the command again"
    )


def _launch(order: str) -> None:
    """Start the process, detached: it must not end with this one."""
    subprocess.run(
        [sys.executable, "-m", "migrate.split.keeper"],
        input=order.encode(),
        check=True,
        timeout=START_SECONDS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def find_kept_snapshot(context: SplitContext) -> KeptSnapshot | None:
    """The snapshot of an earlier run, if it can still be used."""
    names = context.names
    control = await context.control(Side.SHARED)
    row = await control.fetchrow(
        "SELECT k.slot, k.snapshot, k.keeper_pid"
        f" FROM {names.relation('snapshot')} k JOIN pg_replication_slots s ON s.slot_name = k.slot"
        " WHERE k.snapshot IS NOT NULL AND s.wal_status <> 'lost'"
    )
    if row is None or not await snapshot_is_valid(control, row["snapshot"]):
        return None
    return KeptSnapshot(row["slot"], row["snapshot"], row["keeper_pid"])


async def renew_lease(connection: Connection, schema: str) -> None:
    """Tell the keeper that the copy is alive."""
    await connection.execute(
        f"UPDATE {quote(schema)}.snapshot"
        " SET lease_until = clock_timestamp() + make_interval(secs => $1)",
        LEASE_SECONDS,
    )


async def dismiss_keeper(context: SplitContext) -> None:
    """End the keeper and forget the snapshot; idempotent."""
    names = context.names
    control = await context.control(Side.SHARED)
    if not await control.fetchval("SELECT to_regclass($1) IS NOT NULL", names.relation("snapshot")):
        return
    pid = await control.fetchval(f"DELETE FROM {names.relation('snapshot')} RETURNING keeper_pid")
    if pid is not None:
        with suppress(asyncpg.InsufficientPrivilegeError):
            await control.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = $1 AND datname = current_database()"
                " AND backend_type IN ('walsender', 'client backend')",
                pid,
            )


# ---- the process ------------------------------------------------------------------------------


async def keep(dsn: str, schema: str, slot: str, seconds: float) -> None:
    """Make slot and snapshot, publish its name, and hold it while the lease lasts."""
    endpoint = Endpoint(Side.SHARED, dsn)
    control = await connect(endpoint, "keeper")
    table = f"{quote(schema)}.snapshot"
    try:
        try:
            kept = await create_slot_with_snapshot(endpoint, slot, seconds)
        except Exception as error:
            await control.execute(
                f"UPDATE {table} SET failure = $1 WHERE slot = $2",
                without_secrets(str(error) or type(error).__name__, endpoint),
                slot,
            )
            return
        try:
            await control.execute(
                f"UPDATE {table} SET snapshot = $1, keeper_pid = $2 WHERE slot = $3",
                kept.snapshot,
                kept.backend_pid,
                slot,
            )
            is_leased = await _hold(control, table, slot, kept)
        finally:
            kept.connection.terminate()
        if is_leased is False:
            await _drop(control, slot)
    finally:
        await close(control)


async def _hold(control: Connection, table: str, slot: str, kept: ExportedSnapshot) -> bool | None:
    """Until the end: False when the lease has run out, None when the keeper was dismissed."""
    lease = (
        f"SELECT lease_until > clock_timestamp() FROM {table} WHERE slot = $1 AND keeper_pid = $2"
    )
    while not kept.connection.is_closed():
        await asyncio.sleep(POLL_SECONDS)
        is_leased: bool | None = await control.fetchval(lease, slot, kept.backend_pid)
        if not is_leased:
            return is_leased
    return None


async def _drop(control: Connection, slot: str) -> None:
    """Without its snapshot a slot is of no use to a copy, and would keep WAL until the disk is full."""
    for _ in range(DROP_ATTEMPTS):
        try:
            await control.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1",
                slot,
            )
        except asyncpg.ObjectInUseError:
            await asyncio.sleep(POLL_SECONDS / 10)
        else:
            return


def main() -> int:
    """Entry point: reads its order from standard input and leaves the caller's session."""
    order = json.loads(sys.stdin.buffer.read())
    if os.fork():
        return 0
    os.setsid()
    with suppress(asyncpg.PostgresError, SplitError, *CONNECTION_LOST, TimeoutError):
        asyncio.run(keep(order["dsn"], order["schema"], order["slot"], float(order["seconds"])))
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
