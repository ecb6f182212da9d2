"""Reads `maintenance_modes` from the shared database; the only SQL on it here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from shared.placement.connection import Pool
from shared.web.maintenance import MaintenanceModes, Mode, follow_modes

_MODES = "SELECT scope, mode, message, until FROM maintenance_modes WHERE mode <> 'off'"


class MaintenanceTable:
    """The rows of operators. A table that does not exist yet raises like any other failure."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def modes(self) -> Mapping[str, Mode]:
        rows = await self._pool.fetch(_MODES)
        return {
            row["scope"]: Mode(row["scope"], row["mode"], row["message"], row["until"])
            for row in rows
        }


@asynccontextmanager
async def following_modes(pool: Pool) -> AsyncIterator[MaintenanceModes]:
    """The modes for a process without a web app, kept current while the block runs."""
    modes = MaintenanceModes()
    following = asyncio.create_task(follow_modes(modes, MaintenanceTable(pool)))
    try:
        yield modes
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
