"""A charge around a provider call: settled or refunded at the end, whatever happens; runs no SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog

from shared.errors import PeerError
from shared.placement.pools import CONNECTION_ERRORS
from shared.quota.shielded import complete

log = structlog.get_logger(__name__)

#: Longest time for settling or refunding at the end, in seconds. What fails is repaired: a refund
#: by the sweep after 15 minutes, a settlement by the event that carries the reservation.
CLOSE_SECONDS = 10.0


@dataclass(slots=True)
class Charge:
    """Held until the block ends. `remaining` is what is left after it; None is unlimited."""

    reservation_id: UUID
    quota_type: str
    remaining: int | None
    tokens: int = 0
    is_kept: bool = False
    is_closed: bool = False

    def keep(self, tokens: int = 0) -> None:
        """Something was delivered: settle at the end, also after an error or a cancellation.

        May be called again with a higher count while a stream goes on.
        """
        self.is_kept = True
        self.tokens = tokens

    def closed(self) -> None:
        """The charge was settled in the caller's own committed transaction: nothing is left to do."""
        self.is_kept = self.is_closed = True


@asynccontextmanager
async def closing(
    charge: Charge,
    *,
    settle: Callable[[UUID, int], Awaitable[bool]],
    refund: Callable[[UUID], Awaitable[bool]],
) -> AsyncIterator[Charge]:
    """Settle a kept charge and refund any other at the end of the block."""

    async def close() -> None:
        if charge.is_kept:
            await settle(charge.reservation_id, charge.tokens)
        else:
            await refund(charge.reservation_id)
        charge.is_closed = True

    try:
        yield charge
    finally:
        if not charge.is_closed:
            try:
                await complete(close(), seconds=CLOSE_SECONDS)
            except (PeerError, *CONNECTION_ERRORS, asyncpg.PostgresError) as error:
                log.warning(
                    "charge_left_to_repair",
                    reservation_id=str(charge.reservation_id),
                    kept=charge.is_kept,
                    error=type(error).__name__,
                )
