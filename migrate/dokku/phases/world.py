"""What the steps of a phase work with, and how far traffic and data are; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrate.dokku.phases.commands import CommandLine, CommandRefusedError, query
from migrate.dokku.session import Session
from migrate.dokku.transport import CommandFailedError

#: Asks before something that interrupts; the text says what.
Confirm = Callable[[str], Awaitable[bool]]


async def always(_question: str) -> bool:
    """Asks nobody."""
    return True


@dataclass(frozen=True, slots=True)
class ServiceState:
    """Where a service stands, as the control store has it."""

    percent_min: float
    percent_max: float
    data: str


@dataclass
class World:
    """One run of a phase. `has_judged_ramp`: whether the toolkit has a command `ramp`."""

    session: Session
    commands: CommandLine
    say: Callable[[str], None] = lambda _line: None
    confirm: Confirm = always
    backups: Path = field(default_factory=lambda: Path("backups"))
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    phase: str = "phase"
    has_judged_ramp: bool = False

    async def status(self) -> dict[str, Any]:
        """`migrate status --json`."""
        found: dict[str, Any] = await query(self.commands, ["status"])
        return found

    async def services(self) -> Mapping[str, ServiceState]:
        """Every service of the control store; empty while there is no control store yet."""
        try:
            rows = (await self.status())["services"]
        except (CommandRefusedError, CommandFailedError):
            return {}
        return {
            str(row["service"]): ServiceState(
                float(row["percent_min"]),
                float(row["percent_max"]),
                str(row["data"]),
            )
            for row in rows
        }

    async def service(self, name: str) -> ServiceState:
        """One service; at the monolith with shared tables while nothing is known."""
        return (await self.services()).get(name, ServiceState(0.0, 0.0, "shared"))
