"""The state of the whole product: own domains by own checks, others by asking their /health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, cast

import httpx

from monolith.context import Context
from monolith.maintenance import ALL, Mode, mode_of
from monolith.system.checks import run_checks
from monolith.values import Timestamp, Wire

State = Literal["ok", "degraded", "down", "read_only", "maintenance"]
NAMES = ("auth", "chat", "payments", "content", "media", "community", "analytics")
ASK_SECONDS = 1.0
KEPT_SECONDS = 5.0
WORST_FIRST: tuple[State, ...] = ("maintenance", "down", "degraded", "read_only", "ok")
HEALTH: dict[str, State] = {"healthy": "ok", "degraded": "degraded"}


class MaintenanceAnswer(Wire):
    mode: Literal["off", "read_only", "full"]
    scopes: list[str]
    message: str | None
    until: Timestamp | None


class DomainStates(Wire):
    auth: State
    chat: State
    payments: State
    content: State
    media: State
    community: State
    analytics: State


class StatusAnswer(Wire):
    status: Literal["ok", "degraded", "down", "maintenance"]
    maintenance: MaintenanceAnswer
    domains: DomainStates
    timestamp: Timestamp


def overall(states: Mapping[str, State]) -> Literal["ok", "degraded", "down", "maintenance"]:
    """The worst of the domains; read_only is a degraded product."""
    for state in WORST_FIRST:
        if state in states.values():
            return "degraded" if state == "read_only" else state
    return "ok"


def maintenance_answer(modes: Mapping[str, Mode]) -> MaintenanceAnswer:
    chosen = modes.get(ALL) or next(
        iter(sorted(modes.values(), key=lambda m: (m.mode != "full", m.scope))), None
    )
    return MaintenanceAnswer(
        mode=cast(Literal["off", "read_only", "full"], chosen.mode if chosen else "off"),
        scopes=sorted(modes),
        message=chosen.message if chosen else None,
        until=chosen.until if chosen else None,
    )


class StatusBoard:
    """Keeps what the domains said about their health for 5 s."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._states: dict[str, State] = {}

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def answer(self, context: Context) -> StatusAnswer:
        """What clients see at /api/status."""
        modes = await context.maintenance.modes()
        if time.monotonic() - self._read_at > KEPT_SECONDS:
            self._states = await _ask_all(context)
            self._read_at = time.monotonic()
        shown = {n: _under_maintenance(self._states[n], mode_of(modes, n)) for n in NAMES}
        return StatusAnswer(
            status=overall(shown),
            maintenance=maintenance_answer(modes),
            domains=DomainStates(**shown),
            timestamp=datetime.now(UTC),
        )


def _under_maintenance(state: State, mode: Mode | None) -> State:
    if mode is None:
        return state
    return "maintenance" if mode.mode == "full" else "read_only"


async def _ask_all(context: Context) -> dict[str, State]:
    checks = await run_checks(context)
    own: State = "ok" if all(checks.values()) else "degraded"
    if not checks["database"]:
        own = "down"
    elsewhere = context.settings.domain_health_urls
    states: dict[str, State] = dict.fromkeys(NAMES, own)
    if elsewhere:
        async with httpx.AsyncClient(timeout=ASK_SECONDS) as client:
            asked = await asyncio.gather(*(_ask(client, url) for url in elsewhere.values()))
        states |= dict(zip(elsewhere, asked, strict=True))
    return states


async def _ask(client: httpx.AsyncClient, url: str) -> State:
    try:
        answer = await client.get(f"{url}/health")
        return HEALTH.get(answer.json().get("status"), "down")
    except (httpx.HTTPError, ValueError, AttributeError):
        return "down"
