"""The state of the whole product (contract, 2.8): own checks, and others asked at their /health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import asyncpg
import httpx

from shared.contract.system import DomainState, DomainStates, MaintenanceNotice, Status
from shared.placement.pools import CONNECTION_ERRORS
from shared.web.health import HealthBoard
from shared.web.maintenance import Mode, ModeSource

DOMAINS = ("auth", "chat", "payments", "content", "media", "community", "analytics")
ASK_SECONDS = 1.0  # contract, 2.8
KEPT_SECONDS = 5.0  # contract, 2.8
WORST_FIRST: tuple[DomainState, ...] = ("maintenance", "down", "degraded", "read_only", "ok")
_STATE_OF_HEALTH: dict[object, DomainState] = {"healthy": "ok", "degraded": "degraded"}


def overall(
    states: Mapping[str, DomainState],
) -> Literal["ok", "degraded", "down", "maintenance"]:
    """The worst of the domains; read_only is a degraded product."""
    for state in WORST_FIRST:
        if state in states.values():
            return "degraded" if state == "read_only" else state
    return "ok"


def notice(modes: Mapping[str, Mode]) -> MaintenanceNotice:
    """What operators announced: the row of everything, else the strictest of the others."""
    strictest = sorted(modes.values(), key=lambda mode: (mode.name != "full", mode.scope))
    chosen = modes.get("all") or next(iter(strictest), None)
    return MaintenanceNotice(
        mode=chosen.name if chosen else "off",
        scopes=sorted(modes),
        message=chosen.message if chosen else None,
        until=chosen.until if chosen else None,
    )


def under_maintenance(state: DomainState, modes: Mapping[str, Mode], domain: str) -> DomainState:
    """A domain's state as clients see it: a mode of its own or of everything comes first."""
    names = {modes[scope].name for scope in ("all", domain) if scope in modes}
    if "full" in names:
        return "maintenance"
    return "read_only" if "read_only" in names else state


class StatusBoard:
    """Keeps for 5 s what the domains said about their health."""

    def __init__(
        self,
        health: HealthBoard,
        modes: ModeSource,
        client: httpx.AsyncClient,
        elsewhere: Mapping[str, str],
    ) -> None:
        """`elsewhere`: domain -> address of its app; the others are as well as this app is."""
        self._health = health
        self._modes = modes
        self._client = client
        self._elsewhere = dict(elsewhere)
        self._states: dict[str, DomainState] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def answer(self) -> Status:
        modes = await self._known_modes()
        states = await self._fresh_states()
        shown = {name: under_maintenance(states[name], modes, name) for name in DOMAINS}
        return Status(
            status=overall(shown),
            maintenance=notice(modes),
            domains=DomainStates.model_validate(shown),
            timestamp=datetime.now(UTC),
        )

    async def _known_modes(self) -> Mapping[str, Mode]:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._modes.modes()
        except (*CONNECTION_ERRORS, asyncpg.PostgresError):
            return {}

    async def _fresh_states(self) -> dict[str, DomainState]:
        async with self._asking:
            if time.monotonic() - self._asked_at > KEPT_SECONDS:
                self._states = await self._ask_all()
                self._asked_at = time.monotonic()
            return self._states

    async def _ask_all(self) -> dict[str, DomainState]:
        checks = await self._health.results()
        own: DomainState = "ok" if all(checks.values()) else "degraded"
        if not checks.get("database", True):
            own = "down"
        asked = await asyncio.gather(*(self._ask(url) for url in self._elsewhere.values()))
        return dict.fromkeys(DOMAINS, own) | dict(zip(self._elsewhere, asked, strict=True))

    async def _ask(self, url: str) -> DomainState:
        try:
            answer = await self._client.get(f"{url}/health", timeout=ASK_SECONDS)
            return _STATE_OF_HEALTH.get(answer.json().get("status"), "down")
        except (httpx.HTTPError, ValueError, AttributeError):
            return "down"
