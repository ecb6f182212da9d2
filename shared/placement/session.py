"""Borrows a usable connection from a pool, through a restart of the server; knows no placement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import asyncpg

from shared.placement.connection import Connection, Pool
from shared.placement.errors import DatabaseUnavailableError
from shared.placement.pools import CONNECTION_ERRORS, Side

Isolation = Literal["read_committed", "repeatable_read", "serializable"]

#: How long to wait for a connection while PostgreSQL restarts, in seconds.
RECONNECT_SECONDS = 5.0
#: First and longest pause between two attempts, in seconds.
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5

#: The server or the network ended a connection that was in use.
LOST_ERRORS = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


def is_lost(error: BaseException, connection: Connection) -> bool:
    """Whether an error says that the connection is gone, rather than that a statement is wrong."""
    if isinstance(error, (*LOST_ERRORS, asyncpg.InternalClientError)):
        return True
    return isinstance(error, asyncpg.InterfaceError) and connection.is_closed()


@asynccontextmanager
async def borrow(pool: Pool, side: Side) -> AsyncIterator[Connection]:
    """A connection that just answered nothing yet; waits while the server does not accept any."""
    connection = await _acquire(pool, side, asyncio.get_running_loop().time() + RECONNECT_SECONDS)
    try:
        yield connection
    finally:
        await pool.release(connection)  # type: ignore[arg-type]


@asynccontextmanager
async def begin(pool: Pool, side: Side, isolation: Isolation) -> AsyncIterator[Connection]:
    """A connection inside a transaction that ends with this block.

    A connection that turns out to be dead at BEGIN is replaced: nothing was sent on it yet.
    """
    until = asyncio.get_running_loop().time() + RECONNECT_SECONDS
    while True:
        connection = await _acquire(pool, side, until)
        transaction = connection.transaction(isolation=isolation)
        try:
            await transaction.start()
        except BaseException as error:
            is_gone = is_lost(error, connection)
            if is_gone:
                connection.terminate()  # it must not be handed out again
            await pool.release(connection)  # type: ignore[arg-type]
            if not is_gone:
                raise
            if asyncio.get_running_loop().time() >= until:
                raise DatabaseUnavailableError(side, type(error).__name__) from error
            continue
        break
    try:
        try:
            yield connection
        except BaseException:
            await _roll_back(transaction, connection)
            raise
        else:
            await transaction.commit()
    finally:
        await pool.release(connection)  # type: ignore[arg-type]


async def _roll_back(transaction: asyncpg.transaction.Transaction, connection: Connection) -> None:
    """Roll back unless the connection is gone, in which case the server has done it."""
    if connection.is_closed():
        return
    try:
        await transaction.rollback()
    except (*CONNECTION_ERRORS, asyncpg.PostgresError):
        connection.terminate()


async def _acquire(pool: Pool, side: Side, until: float) -> Connection:
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE_SECONDS
    while True:
        remaining = until - loop.time()
        try:
            return await pool.acquire(timeout=max(remaining, 0.001))
        except TimeoutError as error:
            raise DatabaseUnavailableError(side, "no free connection in time") from error
        except CONNECTION_ERRORS as error:
            if pool.is_closing() or loop.time() + pause >= until:
                raise DatabaseUnavailableError(side, type(error).__name__) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
