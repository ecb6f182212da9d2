"""Two snapshots, one in each database, of exactly the same rows, while both sides keep moving.

The owner's tables are locked for a moment (writers wait some milliseconds), the owner's snapshot is
taken and the token written under that lock; the apply worker is stopped where the token arrives, the
follower's snapshot is taken there, and the worker goes on. From then on both snapshots can be
compared at leisure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from migrate.split.connection import Connection, close
from migrate.split.context import SplitContext
from migrate.split.follow_steps import lock_order
from migrate.split.locks import lock_tables
from migrate.split.model import SplitError
from migrate.split.names import Direction, Side
from migrate.split.stream import bump_token

#: Longest wait for the apply worker to arrive at the token, in seconds.
ARRIVE_SECONDS = 15.0
#: The server frees the apply worker when the tool hangs while it holds it, after this long.
PARK_MS = 20_000
#: Longest life of the transaction that holds the owner's tables, in milliseconds.
FREEZE_MS = 500
POLL_SECONDS = 0.001

#: Whether somebody waits for the advisory lock of the split.
IS_PARKED = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((classid::bigint << 32) | objid::bigint) = $1)
"""


class NotArrivedError(SplitError):
    """The apply worker did not reach the token in time, so there is no pair of snapshots."""


@dataclass(frozen=True, slots=True)
class PairedSnapshots:
    """Names of the two snapshots, valid inside the block. Milliseconds that others had to wait."""

    snapshots: dict[Side, str]
    writers_waited_ms: float
    stream_waited_ms: float


@asynccontextmanager
async def paired_snapshots(
    context: SplitContext, direction: Direction
) -> AsyncIterator[PairedSnapshots]:
    """Take the pair for a stream that flows in `direction`; raises NotArrivedError."""
    source, target = direction.source, direction.target
    opened: list[Connection] = []
    try:
        for side, role in ((source, "verify-lock"), (source, "verify"), (target, "verify")):
            opened.append(await context.session(side, role))
        locker, source_reader, target_reader = opened
        park = await context.session(target, "verify-park")
        opened.append(park)
        await park.execute(f"SET idle_session_timeout = '{PARK_MS}ms'")
        await park.execute("SELECT pg_advisory_lock($1)", context.names.advisory_key)
        parked_at = time.monotonic()
        names = {source: "", target: ""}
        locked = await lock_tables(
            locker,
            await context.control(source),
            await lock_order(context, source),
            context.limits,
            is_superuser=context.facts[source].is_superuser,
            session_ms=FREEZE_MS,
        )
        names[source] = await _export(source_reader)
        await bump_token(await context.control(source), context.names)
        await locker.execute("COMMIT")
        writers_waited = time.monotonic() - locked.requested_at
        await _wait_until_parked(context, target)
        names[target] = await _export(target_reader)
        await park.execute("SELECT pg_advisory_unlock($1)", context.names.advisory_key)
        yield PairedSnapshots(
            names, writers_waited * 1000.0, (time.monotonic() - parked_at) * 1000.0
        )
    finally:
        for connection in reversed(opened):  # the one that holds the apply worker goes first
            await close(connection)


async def _export(connection: Connection) -> str:
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    return str(await connection.fetchval("SELECT pg_export_snapshot()"))


async def _wait_until_parked(context: SplitContext, side: Side) -> None:
    connection = await context.control(side)
    until = time.monotonic() + ARRIVE_SECONDS
    while not await connection.fetchval(IS_PARKED, context.names.advisory_key):
        if time.monotonic() > until:
            raise NotArrivedError(
                f"the {side} side did not arrive at the token within {ARRIVE_SECONDS:g} s, so it"
                " cannot be compared now; look at `migrate db status`, then run the command again"
            )
        await asyncio.sleep(POLL_SECONDS)
