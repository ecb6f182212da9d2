"""What can go wrong with database access, by who must act; knows no SQL and no HTTP."""

from __future__ import annotations

import asyncpg

from shared.errors import OperatorError, PeerError

#: Many want one row, or the server is too busy: nothing is wrong, and trying again helps.
CONTENTION_ERRORS = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,  # statement_timeout
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


#: The server or the network ended a connection in the middle of work that is not run again.
LOST_CONNECTION_ERRORS = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby that was not promoted yet
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class PlacementError(PeerError):
    """Database access failed for a reason outside this process; trying again later may help."""


class TablesMovedError(PlacementError):
    """The tables of a service moved and the new owner did not open before the deadline."""

    def __init__(self, service: str, side: str, epoch: int, seconds: float) -> None:
        super().__init__(
            f"the tables of {service} refuse writes on the {side} side (placement epoch {epoch}) and"
            f" no newer placement was seen within {seconds:g} s; look at"
            f" `migrate status {service}` and `migrate history {service}`"
        )
        self.service = service
        self.side = side
        self.epoch = epoch
        self.seconds = seconds


class PlacementUnknownError(PlacementError):
    """The process has no control state yet, so it does not know which database owns its tables."""

    def __init__(self) -> None:
        super().__init__(
            "the control store was never reached and there is no snapshot, so the owner of the tables"
            " is unknown; check SHARED_DATABASE_URL and `migrate status`"
        )


class DatabaseUnavailableError(PlacementError):
    """A database did not accept a connection in time."""

    def __init__(self, side: str, reason: str) -> None:
        variable = "SHARED_DATABASE_URL" if side == "shared" else "DATABASE_URL"
        super().__init__(
            f"the {side} database does not answer ({reason}); check {variable} and that PostgreSQL"
            " runs (`migrate status`)"
        )
        self.side = side
        self.reason = reason


class OwnershipError(OperatorError):
    """A statement touches a table that the manifest does not give to this service."""

    def __init__(self, found: tuple[str, ...], sql: str) -> None:
        super().__init__(
            f"{'; '.join(found)} (in: {' '.join(sql.split())[:160]});"
            " ask the owner's public route or subscribe to its event, or give the table to this"
            " service in migration.toml"
        )
        self.found = found
