"""Frozen data of the control store: flags, placements, instances; pure, knows no SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from shared.states import OWNING_DATABASE, DataState, PhaseStatus, RouteState

Mode = Literal["normal", "read_only", "maintenance"]


@dataclass(frozen=True, slots=True)
class Hold:
    """New requests of a route wait at the router instead of failing.

    `until` is when the hold ends by itself (the router answers 503 to what still waits then);
    `release_to` is the side that held requests go to when it ends without a switch.
    """

    max_requests: int = 1000
    request_seconds: float = 10.0
    total_seconds: float = 20.0
    started_at: float = 0.0  # unix seconds, the database's clock

    @property
    def until(self) -> float:
        """Unix seconds at which the hold has ended whatever happens."""
        return self.started_at + self.total_seconds


@dataclass(frozen=True, slots=True)
class Flag:
    """Run-time state of one route."""

    route: str
    service: str
    percent: float = 0.0  # share of sticky keys that the service answers, 0 to 100, steps of 0.01
    salt: str = ""  # per flag, so that the same people are not the first in every ramp
    shadow_percent: float = 0.0
    allow: frozenset[str] = frozenset()  # sticky keys that always go to the service
    deny: frozenset[str] = frozenset()  # sticky keys that always go to the monolith
    mode: Mode = "normal"
    hold: Hold | None = None
    writes: bool = False

    def with_changes(self, change: FlagChange) -> Flag:
        """This flag with every field of `change` that is not None; `clear_hold` ends a hold."""
        fields: dict[str, Any] = {
            name: value
            for name in ("percent", "shadow_percent", "allow", "deny", "mode", "hold")
            if (value := getattr(change, name)) is not None
        }
        if change.clear_hold:
            fields["hold"] = None
        return replace(self, **fields)


@dataclass(frozen=True, slots=True)
class FlagChange:
    """What a command wants changed in a flag; None leaves a field as it is."""

    percent: float | None = None
    shadow_percent: float | None = None
    allow: frozenset[str] | None = None
    deny: frozenset[str] | None = None
    mode: Mode | None = None
    hold: Hold | None = None
    clear_hold: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Which database owns a service's tables; `epoch` grows by one with every change of owner."""

    service: str
    state: DataState = DataState.SHARED
    epoch: int = 1

    @property
    def side(self) -> str:
        """`shared` or `own`."""
        return OWNING_DATABASE[self.state]


@dataclass(frozen=True, slots=True)
class ControlState:
    """One consistent reading of everything that routers and services obey."""

    version: int
    flags: Mapping[str, Flag] = field(default_factory=lambda: MappingProxyType({}))
    placements: Mapping[str, Placement] = field(default_factory=lambda: MappingProxyType({}))

    def placement(self, service: str) -> Placement:
        """The placement of a service; shared when the store has no row for it."""
        return self.placements.get(service) or Placement(service)

    def is_pinned(self, route: str) -> bool:
        """Whether a route writes to tables that the service alone owns.

        Then nothing (override, deny list, fallback, ejection) may send it to the monolith.
        """
        flag = self.flags.get(route)
        return flag is not None and flag.writes and self.placement(flag.service).side == "own"

    def route_states(self) -> dict[str, RouteState]:
        """What the invariants look at, by route."""
        return {
            name: RouteState(name, flag.service, flag.writes, flag.percent, bool(flag.deny))
            for name, flag in self.flags.items()
        }

    def data_states(self) -> dict[str, DataState]:
        """The data state of every service that has a row."""
        return {name: placement.state for name, placement in self.placements.items()}


@dataclass(frozen=True, slots=True)
class Instance:
    """One live process that obeys the control store, and the version that it has applied."""

    id: str
    kind: str  # router | service | worker
    name: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    applied_version: int
    applied_at: datetime
    stats: Mapping[str, Any]
    is_live: bool


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change: who, when, why, from, to."""

    id: int
    version: int
    at: datetime
    actor: str
    reason: str
    kind: str  # flag | placement | phase | register
    subject: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Phase:
    """Progress of one phase of the manifest."""

    number: int
    status: PhaseStatus
    started_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Outcome of a write: the new version, when it was committed, and what differs.

    `version` equals the old one and `changed` is empty when nothing had to change.
    """

    version: int
    committed_at: datetime
    changed: tuple[str, ...]
