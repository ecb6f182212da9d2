"""The pool of the one database and the meaning of its errors; knows no table."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from monolith.errors import ApiError, unavailable

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Row = asyncpg.Record

CONNECT_SECONDS = 5.0
ACQUIRE_SECONDS = 5.0  # a request waits at most half of its 10 s for a connection
COMMAND_SECONDS = 9.0  # below the 10 s in which reads and writes must be answered
FENCED = "SP001"  # raised by the trigger on tables that have moved to another database
# Server states that a client may wait out: shutdown, start-up, too many connections, read-only,
# and a table that is not in this database any more.
WAIT_STATES = {"57P01", "57P02", "57P03", "53300", "25006", "42P01", "3D000", "55P03"}


# What a call raises while the database is away, beside UNAVAILABLE itself.
FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    ApiError,
)


async def _prepare(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )


async def _keep_as_is(_connection: object) -> None:
    """Instead of asyncpg's reset, a round trip per use: nothing here leaves session state behind.

    Transactions end with their block, and every advisory lock is one of a transaction.
    """


class Database:
    """Short transactions on one PostgreSQL database; opened once per process."""

    def __init__(self, dsn: str, application_name: str, pool_size: int) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._pool_size = pool_size
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Make the pool; connects on first use, so that the process starts without a server."""
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=self._pool_size,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            init=_prepare,
            reset=_keep_as_is,
            server_settings={"application_name": self._application_name},
        )

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise unavailable("The database is not open")
        pool = self._pool
        try:
            connection = await pool.acquire(timeout=ACQUIRE_SECONDS)
        except TimeoutError as error:
            raise unavailable("The database does not answer") from error
        try:
            yield connection
        except asyncpg.InternalClientError:
            connection.terminate()  # cut off by the server; nobody may get it again
            raise
        finally:
            await pool.release(connection, timeout=ACQUIRE_SECONDS)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        async with self.connection() as connection:
            rows: list[Row] = await connection.fetch(query, *arguments)
            return rows

    async def row(self, query: str, *arguments: Any) -> Row | None:
        async with self.connection() as connection:
            row: Row | None = await connection.fetchrow(query, *arguments)
            return row

    async def value(self, query: str, *arguments: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> str:
        async with self.connection() as connection:
            status: str = await connection.execute(query, *arguments)
            return status


async def one(connection: Connection, query: str, *arguments: Any) -> Row:
    """The row of a statement that always gives one, such as INSERT … RETURNING."""
    row: Row | None = await connection.fetchrow(query, *arguments)
    if row is None:
        raise LookupError("a statement that must give a row gave none")
    return row


def is_fenced(error: BaseException) -> bool:
    """True if the write met a table that has moved away (SQLSTATE SP001)."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == FENCED


def is_absent(error: BaseException) -> bool:
    """True if the table is not in this database any more."""
    return isinstance(error, asyncpg.UndefinedTableError)


def database_error(error: BaseException) -> ApiError | None:
    """The answer for a database that is away or a table that has moved; None for anything else."""
    if isinstance(error, TimeoutError):  # an OSError too, but about time, not about the database
        return None
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state == FENCED or state in WAIT_STATES or state.startswith("08"):
            return unavailable()
        return None
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError):
        return unavailable()
    return None


def affected(status: str) -> int:
    """Rows that a command touched, from its status line such as `UPDATE 3`."""
    return int(status.rpartition(" ")[2])


async def emit(
    connection: Connection,
    event_type: str,
    user_id: object,
    data: dict[str, Any],
    source: str,
    request_id: str | None = None,
) -> None:
    """Put an event into the outbox, in the transaction of the change that it tells (contract, 4)."""
    await connection.execute(
        "SELECT emit_event($1, $2, $3, $4, $5)", event_type, user_id, data, source, request_id
    )


def placeholders(first: int, values: Sequence[object]) -> str:
    """`$3, $4` for two values that start at number 3."""
    return ", ".join(f"${first + offset}" for offset in range(len(values)))
