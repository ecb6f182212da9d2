"""The state of the whole product (contract, 2.8): own checks, and others asked at their /health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import asyncpg
import httpx

from shared.contract.system import DomainState, DomainStates, MaintenanceNotice, Status
from shared.control.model import Flag
from shared.placement.pools import CONNECTION_ERRORS
from shared.web.health import HealthBoard
from shared.web.maintenance import Mode, ModeSource

DOMAINS = ("auth", "chat", "payments", "content", "media", "community", "analytics")
HERE = "auth"
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


@dataclass(frozen=True, slots=True)
class Addresses:
    """Who answers for the domains. `always` is asked whatever is served where."""

    always: Mapping[str, str]
    apps: Mapping[str, str]
    old_api: str | None

    def asked(self, served: Collection[str]) -> dict[str, str]:
        """Domain -> address, for domains of others; `served`: those with routes at their own app."""
        found: dict[str, str] = {}
        for domain in DOMAINS:
            here = self.apps.get(domain) if domain in served else self.old_api
            address = self.always.get(domain) or (here if domain != HERE else None)
            if address is not None:
                found[domain] = address
        return found


def served_domains(flags: Mapping[str, Flag]) -> frozenset[str]:
    """Domains of which at least a part of the requests goes to their own app."""
    return frozenset(flag.service for flag in flags.values() if flag.percent > 0)


class StatusBoard:
    """Keeps for 5 s what the domains said about their health."""

    def __init__(
        self,
        health: HealthBoard,
        modes: ModeSource,
        client: httpx.AsyncClient,
        elsewhere: Callable[[], Mapping[str, str]],
    ) -> None:
        """`elsewhere()`: domain -> whom to ask; the others are as well as this app is."""
        self._health = health
        self._modes = modes
        self._client = client
        self._elsewhere = elsewhere
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
        elsewhere = self._elsewhere()
        urls = sorted(set(elsewhere.values()))
        told = dict(zip(urls, await asyncio.gather(*map(self._ask, urls)), strict=True))
        return dict.fromkeys(DOMAINS, own) | {name: told[url] for name, url in elsewhere.items()}

    async def _ask(self, url: str) -> DomainState:
        try:
            answer = await self._client.get(f"{url}/health", timeout=ASK_SECONDS)
            return _STATE_OF_HEALTH.get(answer.json().get("status"), "down")
        except (httpx.HTTPError, ValueError, AttributeError):
            return "down"
