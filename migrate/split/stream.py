"""How far the follower is: by a token that travels with the data, never by reported positions alone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from migrate.split.connection import Connection
from migrate.split.context import SplitContext
from migrate.split.model import SplitError
from migrate.split.names import Direction, Names
from migrate.split.publication import find_subscription
from migrate.split.slots import find_slot

#: Pause between two looks at the token, in seconds.
TOKEN_POLL_SECONDS = 0.0005


class TokenLateError(SplitError):
    """The other side had not applied everything in time."""

    def __init__(self, direction: Direction, seconds: float) -> None:
        super().__init__(
            f"the {direction.target} side had not applied everything within {seconds:g} s;"
            " look at `migrate db status`"
        )
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Lag:
    """Where a stream stands. `round_trip_ms` is None when the token did not arrive in time."""

    behind_bytes: int | None
    retained_bytes: int | None
    wal_status: str | None
    safe_wal_bytes: int | None
    round_trip_ms: float | None
    apply_errors: int
    worker_pid: int | None


async def bump_token(connection: Connection, names: Names) -> int:
    """Write the token; its arrival proves that everything committed before has been applied."""
    value = await connection.fetchval(
        f"UPDATE {names.token.sql} SET n = n + 1 WHERE id = 1 RETURNING n"
    )
    return int(value)


async def wait_for_token(
    connection: Connection, names: Names, value: int, direction: Direction, seconds: float
) -> float:
    """Seconds until the token arrived on the other side; raises TokenLateError."""
    started = time.monotonic()
    statement = f"SELECT n FROM {names.token.sql} WHERE id = 1"
    while await connection.fetchval(statement) != value:
        if time.monotonic() - started > seconds:
            raise TokenLateError(direction, seconds)
        await asyncio.sleep(TOKEN_POLL_SECONDS)
    return time.monotonic() - started


async def token_round_trip(
    context: SplitContext, direction: Direction, seconds: float = 5.0
) -> float:
    """Milliseconds from writing the token on the source to seeing it on the target."""
    source, target = await context.source(direction), await context.target(direction)
    started = time.monotonic()
    value = await bump_token(source, context.names)
    await wait_for_token(target, context.names, value, direction, seconds)
    return (time.monotonic() - started) * 1000.0


async def read_lag(
    context: SplitContext, direction: Direction, *, token_seconds: float = 1.0
) -> Lag:
    """One reading of a stream that flows in `direction`."""
    slot = await find_slot(await context.source(direction), context.names.slot(direction))
    subscription = await find_subscription(context, direction)
    round_trip: float | None = None
    if slot is not None and subscription is not None and subscription.enabled:
        try:
            round_trip = await token_round_trip(context, direction, token_seconds)
        except TokenLateError:
            round_trip = None
    return Lag(
        behind_bytes=slot.behind_bytes if slot else None,
        retained_bytes=slot.retained_bytes if slot else None,
        wal_status=slot.wal_status if slot else None,
        safe_wal_bytes=slot.safe_wal_bytes if slot else None,
        round_trip_ms=round_trip,
        apply_errors=subscription.apply_errors if subscription else 0,
        worker_pid=subscription.pid if subscription else None,
    )
