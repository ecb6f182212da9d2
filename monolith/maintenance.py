"""What operators have switched off: the table maintenance_modes, read at most every 5 s."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from monolith.database import FAILURES, Database
from monolith.errors import ApiError
from monolith.values import format_timestamp

CACHE_SECONDS = 2.0  # the contract allows 5
RETRY_SECONDS_MAX = 60
ALL = "all"


@dataclass(frozen=True, slots=True)
class Mode:
    """One row: mode is `read_only` or `full`."""

    scope: str
    mode: str
    message: str | None
    until: datetime | None


def mode_of(modes: Mapping[str, Mode], domain: str) -> Mode | None:
    """The mode that binds a domain: full beats read_only, the whole product beats one domain."""
    found = [m for m in (modes.get(ALL), modes.get(domain)) if m is not None]
    found.sort(key=lambda m: m.mode != "full")
    return found[0] if found else None


def refusal(modes: Mapping[str, Mode], domain: str, kind: str, now: datetime) -> ApiError | None:
    """The 503 for a route of this domain and kind, or None if it is served."""
    mode = mode_of(modes, domain)
    if mode is None or kind == "webhook" or (mode.mode == "read_only" and kind == "read"):
        return None
    code = "MAINTENANCE" if mode.mode == "full" else "READ_ONLY"
    wait = RETRY_SECONDS_MAX
    if mode.until is not None:
        wait = min(max(int((mode.until - now).total_seconds()), 1), RETRY_SECONDS_MAX)
    details = {
        "scope": mode.scope,
        "until": format_timestamp(mode.until) if mode.until else None,
        "retry_after": wait,
    }
    message = mode.message or "Maintenance; please try again later"
    return ApiError(code, message, details, {"Retry-After": str(wait)})


class Maintenance:
    """The switched modes, kept for two seconds; the last known ones if the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._modes: Mapping[str, Mode] = {}
        self._read_at = float("-inf")

    async def modes(self) -> Mapping[str, Mode]:
        if time.monotonic() - self._read_at < CACHE_SECONDS:
            return self._modes
        self._read_at = time.monotonic()  # one reader at a time; the others use what is known
        try:
            rows = await self._database.fetch(
                "SELECT scope, mode, message, until FROM maintenance_modes WHERE mode <> 'off'"
            )
        except FAILURES:
            return self._modes
        self._modes = {row["scope"]: Mode(*row) for row in rows}
        return self._modes

    async def refusal(self, domain: str, kind: str) -> ApiError | None:
        return refusal(await self.modes(), domain, kind, datetime.now(UTC))
