"""A readiness check: are committed events on their way? Knows no web framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.events import outbox
from shared.placement.database import Database

#: Age of the oldest due row that readiness still accepts, in seconds; effects may lag 5 in the contract.
LATE_SECONDS = 30.0


def relay_check(
    database: Database, late_seconds: float = LATE_SECONDS
) -> Callable[[], Awaitable[bool]]:
    """False when an event has been due for longer than `late_seconds`: no relay works or no broker.

    For `/readyz` of a service, never as a required check: another instance would be as late.
    """

    async def check() -> bool:
        found = await database.read(outbox.lag)
        return found.oldest_seconds <= late_seconds

    return check
