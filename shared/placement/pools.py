"""Connection pools for the shared and the own database of a service; knows no placement."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import asyncpg

from shared.placement.connection import Pool
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
    """The pools of one process: `shared` always, `own` once the service has its own database."""

    def __init__(self, shared: Pool, own: Pool | None = None) -> None:
        self.shared = shared
        self.own = own

    def of(self, side: str) -> Pool:
        """The pool of a side; asking for `own` without one is an operator's mistake."""
        if side == "shared":
            return self.shared
        if self.own is None:
            raise DatabaseUnavailableError("own", "DATABASE_URL is not set")
        return self.own

    def by_side(self) -> Mapping[str, Pool]:
        """Every pool that exists, by side."""
        return {"shared": self.shared} | ({"own": self.own} if self.own is not None else {})

    async def health(self, seconds: float = 1.0) -> dict[str, Health]:
        """The health of every pool, asked at the same time."""
        pools = self.by_side()
        found = await asyncio.gather(*(pool_health(pool, seconds) for pool in pools.values()))
        return dict(zip(pools, found, strict=True))

    async def close(self, seconds: float = 5.0) -> None:
        """Wait for running work, then close; connections that hang are cut after `seconds`."""
        for pool in self.by_side().values():
            try:
                async with asyncio.timeout(seconds):
                    await pool.close()
            except TimeoutError:
                pool.terminate()


async def open_pools(
    application_name: str,
    *,
    shared_dsn: str,
    own_dsn: str | None = None,
    settings: PoolSettings | None = None,
    shared_grants: TableGrants | None = None,
    own_grants: TableGrants | None = None,
) -> Pools:
    """Both pools of a service; `own_dsn` equal to `shared_dsn` counts as no own database."""
    shared = await open_pool(shared_dsn, application_name, settings, grants=shared_grants)
    if own_dsn is None or own_dsn == shared_dsn:
        return Pools(shared)
    try:
        own = await open_pool(own_dsn, application_name, settings, side="own", grants=own_grants)
    except BaseException:
        shared.terminate()
        raise
    return Pools(shared, own)
