"""Connection pools for the shared and the own database of a service; knows no placement."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import asyncpg

from shared.placement.connection import Connection, Pool
from shared.placement.errors import DatabaseUnavailableError
from shared.placement.guard import guarded_connection
from shared.placement.ownership import TableGrants

Side = Literal["shared", "own"]

#: Errors that mean "no usable connection"; nothing of a statement's effect is known.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection says that was cut in the middle of an answer
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Size and time limits of one pool; every limit is enforced by the server as well."""

    min_size: int = 0  # 0: a process starts although PostgreSQL is down
    max_size: int = 10
    connect_seconds: float = 5.0
    acquire_seconds: float = 5.0
    statement_seconds: float = 10.0
    lock_seconds: float = 3.0  # below the router's shortest request limit
    idle_in_transaction_seconds: float = 30.0
    statement_cache_size: int = 256  # 0 behind a transaction pooler, where prepared names clash


def server_settings(settings: PoolSettings, application_name: str) -> dict[str, str]:
    """The session settings that a connection is opened with (times in milliseconds)."""
    return {
        "application_name": application_name[:63],  # NAMEDATALEN - 1
        "statement_timeout": str(int(settings.statement_seconds * 1000)),
        "lock_timeout": str(int(settings.lock_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(
            int(settings.idle_in_transaction_seconds * 1000)
        ),
        "timezone": "UTC",
    }


async def _keep_as_is(_connection: Connection) -> None:
    """Instead of asyncpg's reset statement after every use, a round trip of its own.

    Services leave no session state behind: settings and advisory locks are those of a transaction,
    and nobody listens on a pooled connection. asyncpg itself rolls back what is still open.
    """


async def open_pool(
    dsn: str,
    application_name: str,
    settings: PoolSettings | None = None,
    *,
    side: Side = "shared",
    grants: TableGrants | None = None,
) -> Pool:
    """A pool on one database; with `grants` every statement is checked before it is sent.

    With `min_size` 0 nothing connects yet. Raises DatabaseUnavailableError.
    """
    settings = settings or PoolSettings()
    try:
        return await asyncpg.create_pool(
            dsn,
            min_size=settings.min_size,
            max_size=settings.max_size,
            timeout=settings.connect_seconds,
            command_timeout=settings.statement_seconds + 5.0,  # the server answers first
            statement_cache_size=settings.statement_cache_size,
            server_settings=server_settings(settings, application_name),
            connection_class=guarded_connection(grants) if grants else asyncpg.Connection,
            reset=_keep_as_is,
        )
    except CONNECTION_ERRORS as error:
        raise DatabaseUnavailableError(side, type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a database answered within the limit, and after how long."""

    ok: bool
    milliseconds: float
    error: str | None = None


async def pool_health(pool: Pool, seconds: float = 1.0) -> Health:
    """One `SELECT 1`; never raises and never takes longer than `seconds`."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    error: str | None = None
    try:
        async with asyncio.timeout(seconds):
            await pool.fetchval("SELECT 1")
    except (*CONNECTION_ERRORS, asyncpg.PostgresError) as failure:
        error = type(failure).__name__
    return Health(error is None, (loop.time() - started) * 1000, error)


class Pools:
    """The pools of one process.

    `shared` is for tables that stay in the shared database, `own` for the service's own database
    once it has one. `home` is for the service's own tables while they are in the shared database;
    it is a pool of its own for services whose tables move, so that a statement that joins both
    kinds of tables is refused long before the move.
    """

    def __init__(self, shared: Pool, own: Pool | None = None, home: Pool | None = None) -> None:
        self.shared = shared
        self.own = own
        self.home = home or shared

    def of(self, side: Side) -> Pool:
        """The pool for the service's own tables on a side."""
        if side == "shared":
            return self.home
        if self.own is None:
            raise DatabaseUnavailableError("own", "DATABASE_URL is not set")
        return self.own

    def by_side(self) -> Mapping[str, Pool]:
        """One pool per database, by side."""
        return {"shared": self.shared} | ({"own": self.own} if self.own is not None else {})

    async def health(self, seconds: float = 1.0) -> dict[str, Health]:
        """The health of every pool, asked at the same time."""
        pools = self.by_side()
        found = await asyncio.gather(*(pool_health(pool, seconds) for pool in pools.values()))
        return dict(zip(pools, found, strict=True))

    async def close(self, seconds: float = 5.0) -> None:
        """Wait for running work, then close; connections that hang are cut after `seconds`."""
        for pool in {self.shared, self.home, *self.by_side().values()}:
            try:
                async with asyncio.timeout(seconds):
                    await pool.close()
            except TimeoutError:
                pool.terminate()


@dataclass(frozen=True, slots=True)
class ServiceGrants:
    """Tables per pool; None means that nothing is checked."""

    shared: TableGrants | None = None
    own: TableGrants | None = None
    home: TableGrants | None = None  # None: the same pool as shared


async def open_pools(
    application_name: str,
    *,
    shared_dsn: str,
    own_dsn: str | None = None,
    settings: PoolSettings | None = None,
    grants: ServiceGrants | None = None,
) -> Pools:
    """The pools of a service; `own_dsn` equal to `shared_dsn` counts as no own database."""
    allowed = grants or ServiceGrants()
    opened: list[Pool] = []
    try:
        shared = await open_pool(shared_dsn, application_name, settings, grants=allowed.shared)
        opened.append(shared)
        home = None
        if allowed.home is not None:
            home = await open_pool(shared_dsn, application_name, settings, grants=allowed.home)
            opened.append(home)
        own = None
        if own_dsn is not None and own_dsn != shared_dsn:
            own = await open_pool(
                own_dsn, application_name, settings, side="own", grants=allowed.own
            )
    except BaseException:
        for pool in opened:
            pool.terminate()
        raise
    return Pools(shared, own, home)
