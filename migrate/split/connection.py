"""Opens the tool's own connections with pinned settings and deadlines; knows no split."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from migrate.split.model import Endpoint, SplitError

if TYPE_CHECKING:
    from asyncpg import Record

    Connection: TypeAlias = asyncpg.Connection[Record]
else:
    Connection = asyncpg.Connection

#: Text of values must not depend on who connects: hashes and copies are compared as text.
PINNED: Mapping[str, str] = {
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "search_path": "pg_catalog",
    "row_security": "off",  # an error instead of rows that a policy hides
    "jit": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "synchronous_commit": "on",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",  # every call carries a deadline of its own
}
#: Beginning of application_name of every connection of the tool.
APPLICATION = "strangler-split/"
CONNECT_SECONDS = 10.0
#: Longest ordinary statement, in seconds; copies, index builds and hashes say their own.
STATEMENT_SECONDS = 30.0

#: What a broken or refused connection raises.
CONNECTION_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


class UnreachableError(SplitError):
    """A database does not let the tool in."""

    exit_code = 4

    def __init__(self, side: str, reason: str) -> None:
        super().__init__(
            f"the {side} database cannot be reached ({reason});"
            " check its address, that the server runs, and its pg_hba.conf"
        )
        self.side = side
        self.reason = reason


async def connect(
    endpoint: Endpoint,
    role: str = "cli",
    *,
    settings: Mapping[str, str] | None = None,
    seconds: float = CONNECT_SECONDS,
) -> Connection:
    """A connection of the tool's own; `role` shows up in application_name."""
    try:
        return await asyncpg.connect(
            endpoint.dsn,
            timeout=seconds,
            command_timeout=STATEMENT_SECONDS,
            server_settings={
                **PINNED,
                "application_name": f"{APPLICATION}{role}",
                **(settings or {}),
            },
        )
    except (*CONNECTION_LOST, TimeoutError, asyncpg.PostgresError) as error:
        raise UnreachableError(endpoint.side, without_secrets(str(error), endpoint)) from error


@asynccontextmanager
async def connected(endpoint: Endpoint, role: str = "cli") -> AsyncIterator[Connection]:
    """A connection for the length of a block."""
    connection = await connect(endpoint, role)
    try:
        yield connection
    finally:
        await close(connection)


async def close(connection: Connection | None, seconds: float = 2.0) -> None:
    """Close politely, or cut after `seconds`; never raises."""
    if connection is None or connection.is_closed():
        return
    try:
        async with asyncio.timeout(seconds):
            await connection.close()
    except (*CONNECTION_LOST, TimeoutError, asyncpg.PostgresError):
        connection.terminate()


_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]+(@)|(password\s*=\s*)('[^']*'|\S+)")


def without_secrets(text: str, *endpoints: Endpoint) -> str:
    """The text with addresses and passwords of databases blacked out."""
    for endpoint in endpoints:
        for secret in (endpoint.dsn, endpoint.peer_dsn):
            if secret:
                text = text.replace(secret, f"<{endpoint.side} database>")
    return _PASSWORD.sub(lambda found: (found[1] or found[3]) + "***" + (found[2] or ""), text)
