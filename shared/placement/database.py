"""Transactions on whichever database owns a service's tables now; knows no table and no event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from shared.control.model import ControlState, Placement
from shared.placement.connection import Connection, Pool
from shared.placement.errors import DatabaseUnavailableError, TablesMovedError
from shared.placement.pools import Pools, Side
from shared.placement.session import Isolation, begin, borrow, is_lost
from shared.placement.source import PlacementSource

T = TypeVar("T")

#: SQLSTATE of the fence trigger: this database does not own the table (any more).
TABLES_MOVED = "SP001"
#: serialization_failure, deadlock_detected: PostgreSQL rolled back and asks to run again.
RUN_AGAIN = frozenset({"40001", "40P01"})
#: Runs of one transaction after such an error; more conflicts in a row are a fault of the design.
MAX_CONFLICT_RUNS = 4
#: Longest sleep for a new epoch before the same side is asked again, in seconds: a switch that was
#: called off opens the old side without a new epoch.
RECHECK_SECONDS = 0.1
#: Half of the first such sleep, in seconds; the sleeps double. A new owner opens within milliseconds.
FIRST_RECHECK_SECONDS = 0.002
#: How long a transaction waits for the new owner, in seconds: far above a switch (50 ms), below
#: the time limits of the routes.
MOVE_SECONDS = 15.0


class Database:
    """What a service's repositories use.

    `transaction` and the read helpers go to the side that owns the service's tables; `shared` is
    the pool for tables that stay in the shared database (users, quotas, webhooks).
    """

    def __init__(
        self,
        service: str,
        pools: Pools,
        placements: PlacementSource,
        *,
        on_commit: Callable[[], None] | None = None,
        move_seconds: float = MOVE_SECONDS,
    ) -> None:
        """`on_commit` is called in the event loop after every commit; it wakes an outbox relay."""
        self.service = service
        self.pools = pools
        self._placements = placements
        self._on_commit = on_commit
        self._move_seconds = move_seconds
        self._sides: dict[int, Side] = {}
        self._owner: tuple[int, Side] = (0, "shared")  # in this epoch, this side took a write

    @property
    def shared(self) -> Pool:
        """The pool of the shared database."""
        return self.pools.shared

    @property
    def placement(self) -> Placement:
        """Where the service's own tables are, as far as this process knows."""
        return self._placements.current().placement(self.service)

    @property
    def control(self) -> ControlState:
        """The control state that this process knows; raises PlacementUnknownError before the first."""
        return self._placements.current()

    def side(self, connection: Connection) -> Side:
        """The side that a connection received from this object works on."""
        return self._sides[id(connection)]

    async def transaction(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        isolation: Isolation = "read_committed",
        move_seconds: float | None = None,
    ) -> T:
        """Run `work(connection)` in one transaction on the current side and return its result.

        `work` may run several times, so it changes nothing but the database: it runs again on the
        new side when the tables moved away meanwhile (SQLSTATE SP001), and on the same side after
        a deadlock or serialization failure. A connection lost during the work is never retried,
        for the commit may have happened. Raises TablesMovedError, DatabaseUnavailableError and
        whatever `work` raises.
        """
        seconds = self._move_seconds if move_seconds is None else move_seconds
        until = asyncio.get_running_loop().time() + seconds
        conflicts = refusals = 0
        while True:
            placement = self.placement
            side = self._side(placement)
            if refusals % 2:  # the placement may be late: whoever does not refuse is the owner
                side = self._other(side)
            try:
                result = await self._run(side, work, isolation)
            except Exception as error:
                cause = _postgres_error(error)
                if cause is not None and cause.sqlstate == TABLES_MOVED:
                    refusals += 1
                    await self._wait_for_move(placement, until, seconds, error, refusals)
                    if self.placement.epoch != placement.epoch:
                        refusals = 0
                elif cause is not None and _may_run_again(cause, conflicts):
                    conflicts += 1
                    await asyncio.sleep(0.01 * 2**conflicts)
                else:
                    raise
                continue
            if refusals:  # only a write can have been refused, and its success tells the owner
                self._owner = (placement.epoch, side)
            if self._on_commit is not None:
                self._on_commit()
            return result

    async def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run reading `work(connection)` without a transaction on the current side.

        Runs once more on another connection if the first one turns out to be dead.
        """
        side = self._side(self.placement)
        again = True
        while True:
            async with self._connection(side) as connection:
                try:
                    return await work(connection)
                except Exception as error:
                    if not is_lost(error, connection):
                        raise
                    if not again:
                        raise DatabaseUnavailableError(side, type(error).__name__) from error
                    again = False

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of a reading statement on the current side."""
        return await self.read(lambda connection: connection.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """The first row of a reading statement on the current side, or None."""
        return await self.read(lambda connection: connection.fetchrow(sql, *args))

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row of a reading statement on the current side."""
        return await self.read(lambda connection: connection.fetchval(sql, *args))

    async def close(self) -> None:
        """Close both pools."""
        await self.pools.close()

    async def _run(
        self, side: Side, work: Callable[[Connection], Awaitable[T]], isolation: Isolation
    ) -> T:
        async with begin(self.pools.of(side), side, isolation) as connection:
            self._sides[id(connection)] = side
            try:
                return await work(connection)
            finally:
                del self._sides[id(connection)]

    @asynccontextmanager
    async def _connection(self, side: Side) -> AsyncIterator[Connection]:
        async with borrow(self.pools.of(side), side) as connection:
            self._sides[id(connection)] = side
            try:
                yield connection
            finally:
                del self._sides[id(connection)]

    def _side(self, placement: Placement) -> Side:
        """The side that the placement names, or the one that took a write since it was changed."""
        epoch, side = self._owner
        return side if epoch == placement.epoch else _side(placement)

    def _other(self, side: Side) -> Side:
        other: Side = "own" if side == "shared" else "shared"
        return other if other in self.pools.by_side() else side

    async def _wait_for_move(
        self,
        placement: Placement,
        until: float,
        seconds: float,
        error: Exception,
        refusals: int,
    ) -> None:
        """Sleep until a newer epoch is known, or until the other side may be open; raise after the deadline.

        The side that does not own the tables refuses every write, so trying either is safe: writers
        go on although whoever switched the sides died before it could record the new placement.
        """
        remaining = until - asyncio.get_running_loop().time()
        if remaining <= 0:
            raise TablesMovedError(
                self.service, placement.side, placement.epoch, seconds
            ) from error
        pause = min(remaining, RECHECK_SECONDS, FIRST_RECHECK_SECONDS * 2 ** min(refusals, 10))
        await self._placements.wait_for_epoch(self.service, placement.epoch, pause)


def _postgres_error(error: BaseException) -> asyncpg.PostgresError | None:
    """The PostgreSQL error that an exception is or was raised from, if any."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        if isinstance(current, asyncpg.PostgresError):
            return current
        seen.add(id(current))
        current = current.__cause__
    return None


def _may_run_again(error: asyncpg.PostgresError, conflicts: int) -> bool:
    is_conflict = error.sqlstate in RUN_AGAIN or isinstance(
        error,
        asyncpg.InvalidCachedStatementError,  # the table was altered since the plan was made
    )
    return is_conflict and conflicts + 1 < MAX_CONFLICT_RUNS


def _side(placement: Placement) -> Side:
    return "own" if placement.side == "own" else "shared"
