"""Locks all tables of a split at once, without making their writers fail; knows no switch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from migrate.split.connection import Connection
from migrate.split.model import Limits, SplitError
from migrate.split.names import TableName

#: How long to wait before asking which table is in the way, in seconds. It must be shorter than
#: the deadlock timeout, after which the answer is gone.
PROBE_SECONDS = 0.01

CANCEL_AUTOVACUUM = """
SELECT pg_cancel_backend(a.pid) FROM pg_stat_activity a
WHERE a.backend_type = 'autovacuum worker' AND a.pid IN (
  SELECT l.pid FROM pg_locks l WHERE l.relation = ANY ($1::oid[]) AND l.granted
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

#: The table a session waits for, either at the table itself or at one of its rows.
WAITS_FOR = """
SELECT l.relation::bigint FROM pg_locks l WHERE l.pid = $1 AND NOT l.granted AND l.locktype = 'relation'
"""

BLOCKERS = """
SELECT a.pid, coalesce(nullif(a.application_name, ''), '-') AS application, a.usename AS user_name, a.state,
  round(extract(epoch FROM clock_timestamp() - a.xact_start))::int AS seconds,
  left(regexp_replace(a.query, '\\s+', ' ', 'g'), 120) AS query
FROM pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids($1))
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that stood in the way of the lock."""

    pid: int
    application: str
    user_name: str | None
    state: str | None
    seconds: int | None
    query: str

    def __str__(self) -> str:
        return (
            f"pid {self.pid} ({self.application}, {self.state}, transaction {self.seconds} s old):"
            f" {self.query}"
        )


class LockNotTakenError(SplitError):
    """The tables could not be locked; `blockers` are the sessions of the last attempt."""

    def __init__(self, attempts: int, blockers: Sequence[Blocker]) -> None:
        who = "; ".join(str(blocker) for blocker in blockers) or "sessions that are gone by now"
        super().__init__(
            f"the tables could not be locked in {attempts} attempts, in the way: {who};"
            " wait for them or end them, then run the command again"
        )
        self.attempts = attempts
        self.blockers = tuple(blockers)


@dataclass(slots=True)
class LockOrder:
    """The order in which tables are locked, learned from what stood in the way."""

    tables: list[tuple[TableName, int]]  # name and oid
    blockers: list[Blocker] = field(default_factory=list)

    def move_to_front(self, oid: int) -> None:
        """The next attempt takes the table that this one waited for before all others."""
        for index, (_, candidate) in enumerate(self.tables):
            if candidate == oid:
                self.tables.insert(0, self.tables.pop(index))
                return

    @property
    def sql(self) -> str:
        names = ", ".join(name.sql for name, _ in self.tables)
        return f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"

    @property
    def oids(self) -> list[int]:
        return [oid for _, oid in self.tables]


@dataclass(frozen=True, slots=True)
class Locked:
    """The lock is held. Times by the monotonic clock, in seconds."""

    requested_at: float
    granted_at: float
    failed_attempts: int


def begin_sql(limits: Limits, *, is_superuser: bool, session_ms: int | None = None) -> str:
    """Open the transaction that will hold the lock, with timers that the server keeps.

    A tool that dies loses its connection, one that hangs is ended by the idle timer: writers are
    free again in either case.
    """
    own_ms = limits.fence_session_ms if session_ms is None else session_ms
    settings = [
        f"SET LOCAL lock_timeout = '{limits.lock_timeout_ms}ms'",
        f"SET LOCAL idle_in_transaction_session_timeout = '{own_ms}ms'",
        f"SET LOCAL statement_timeout = '{own_ms}ms'",
    ]
    if is_superuser:
        settings.append(f"SET LOCAL deadlock_timeout = '{limits.lock_deadlock_ms}ms'")
    return "BEGIN; " + "; ".join(settings)


async def cancel_autovacuum(monitor: Connection, oids: Sequence[int]) -> int:
    """Ask autovacuum to leave the tables; it comes back later by itself."""
    try:
        return len(await monitor.fetch(CANCEL_AUTOVACUUM, list(oids)))
    except asyncpg.InsufficientPrivilegeError:
        return 0


async def lock_tables(
    locker: Connection,
    monitor: Connection,
    order: LockOrder,
    limits: Limits,
    *,
    is_superuser: bool,
    session_ms: int | None = None,
) -> Locked:
    """Take the lock on all tables in a new transaction of `locker`; raises LockNotTakenError.

    A failed attempt ends its transaction, so that writers go on, learns which table was in the
    way, and waits before the next one.
    """
    begin = begin_sql(limits, is_superuser=is_superuser, session_ms=session_ms)
    for attempt in range(limits.lock_attempts):
        await cancel_autovacuum(monitor, order.oids)
        requested = time.monotonic()
        await locker.execute(begin)
        try:
            await _request(locker, monitor, order)
            return Locked(requested, time.monotonic(), attempt)
        except (
            asyncpg.LockNotAvailableError,
            asyncpg.DeadlockDetectedError,
            asyncpg.QueryCanceledError,
        ):
            await locker.execute("ROLLBACK")
            await asyncio.sleep(limits.lock_backoff_seconds * (1 + attempt % 3))
        except BaseException:
            with contextlib.suppress(Exception):
                await locker.execute("ROLLBACK", timeout=1.0)
            raise
    raise LockNotTakenError(limits.lock_attempts, order.blockers)


async def _request(locker: Connection, monitor: Connection, order: LockOrder) -> None:
    pid = locker.get_server_pid()
    request = asyncio.ensure_future(locker.execute(order.sql))
    try:
        await asyncio.wait([request], timeout=PROBE_SECONDS)
        if not request.done():
            oid = await monitor.fetchval(WAITS_FOR, pid)
            if oid is not None:
                rows = await monitor.fetch(BLOCKERS, pid)
                order.blockers = [Blocker(**dict(row)) for row in rows]
                order.move_to_front(oid)
        await request
    finally:
        if not request.done():
            request.cancel()
            with contextlib.suppress(BaseException):
                await request
