"""Maintenance modes by domain (contract, 1.15); the table is read in the background, never by a request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

import structlog

from shared.contract.routes import PublicRoute
from shared.contract.values import timestamp_text
from shared.errors import CallerError, Code

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 2.0  # the contract allows an age of 5 s
DEFAULT_RETRY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Mode:
    """The mode of one scope, as its row says."""

    scope: str
    name: Literal["off", "read_only", "full"] = "off"
    message: str | None = None
    until: datetime | None = None

    def retry_after(self, now: datetime) -> int:
        """Seconds a client should wait: until the announced end, else half a minute."""
        if self.until is None or self.until <= now:
            return DEFAULT_RETRY_SECONDS
        return max(math.ceil((self.until - now).total_seconds()), 1)


OFF = Mode("all")


class ModeSource(Protocol):
    """Reads the rows of `maintenance_modes`."""

    async def modes(self) -> Mapping[str, Mode]: ...


class MaintenanceModes:
    """The newest known modes. Without any knowledge everything is on: a probe must not stop a shop."""

    def __init__(self, modes: Mapping[str, Mode] | None = None) -> None:
        self._modes: Mapping[str, Mode] = modes or {}

    def replace(self, modes: Mapping[str, Mode]) -> None:
        self._modes = modes

    def mode_of(self, domain: str | None) -> Mode:
        """The mode in force for a domain: the stricter of its own and that of `all`."""
        modes = self._modes
        if not modes:
            return OFF
        candidates = [modes.get("all", OFF), modes.get(domain, OFF) if domain else OFF]
        return max(candidates, key=lambda mode: ("off", "read_only", "full").index(mode.name))

    def check(self, domain: str | None, route: PublicRoute | None) -> None:
        """Raise 503 if the mode refuses the request. `route` is None for an unknown path or method."""
        mode = self.mode_of(domain)
        if mode.name == "full":
            raise _refusal(Code.MAINTENANCE, mode, "Down for maintenance")
        if mode.name == "read_only" and route is not None and route.kind != "read":
            raise _refusal(Code.READ_ONLY, mode, "Only reading is possible right now")


async def follow_modes(
    modes: MaintenanceModes, source: ModeSource, refresh_seconds: float = REFRESH_SECONDS
) -> None:
    """Keep `modes` current until cancelled. While the source fails the last known modes stay."""
    failing = False
    while True:
        try:
            async with asyncio.timeout(refresh_seconds):
                modes.replace(await source.modes())
            failing = False
        except Exception as error:  # a lost database must not end the following
            if not failing:
                log.warning("maintenance_modes_unknown", reason=type(error).__name__)
            failing = True
        await asyncio.sleep(refresh_seconds)


def _refusal(code: Code, mode: Mode, message: str) -> CallerError:
    now = datetime.now(UTC)
    return CallerError(
        code,
        mode.message or message,
        details={
            "scope": mode.scope,
            "until": timestamp_text(mode.until) if mode.until else None,
            "retry_after": mode.retry_after(now),
        },
    )
