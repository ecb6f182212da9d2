"""States of traffic and data, the transitions between them, and the invariants; pure, knows no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Which upstream answers a route."""

    MONOLITH = "monolith"
    SERVICE = "service"


class DataState(StrEnum):
    """Where a service's own tables are in their move to their own database."""

    SHARED = "shared"  # both sides use the tables of the shared database
    COPYING = "copying"  # the own database is being filled; the shared one is the owner
    FOLLOWING = "following"  # the own database follows by logical replication; shared is the owner
    OWN = "own"  # the own database is the owner, the shared one follows in reverse
    FINAL = "final"  # reverse following has ended; there is no way back without a new copy


class TrafficState(StrEnum):
    """Life of a service's traffic, derived from its flags; nothing stores it."""

    MONOLITH = "monolith"
    SHADOW = "shadow"
    RAMP = "ramp"
    SERVICE = "service"


class PhaseStatus(StrEnum):
    """Progress of one phase of the migration."""

    PENDING = "pending"
    STARTED = "started"
    COMPLETED = "completed"


#: Which data state may follow which. `aborted` copies go back to shared; a rollback goes from own to following.
DATA_TRANSITIONS: Mapping[DataState, frozenset[DataState]] = {
    DataState.SHARED: frozenset({DataState.COPYING}),
    DataState.COPYING: frozenset({DataState.FOLLOWING, DataState.SHARED}),
    DataState.FOLLOWING: frozenset({DataState.OWN, DataState.SHARED}),
    DataState.OWN: frozenset({DataState.FOLLOWING, DataState.FINAL}),
    DataState.FINAL: frozenset(),
}

PHASE_TRANSITIONS: Mapping[PhaseStatus, frozenset[PhaseStatus]] = {
    PhaseStatus.PENDING: frozenset({PhaseStatus.STARTED}),
    PhaseStatus.STARTED: frozenset({PhaseStatus.COMPLETED, PhaseStatus.PENDING}),
    PhaseStatus.COMPLETED: frozenset({PhaseStatus.STARTED}),
}

#: The database that owns the tables in each data state.
OWNING_DATABASE: Mapping[DataState, str] = {
    DataState.SHARED: "shared",
    DataState.COPYING: "shared",
    DataState.FOLLOWING: "shared",
    DataState.OWN: "own",
    DataState.FINAL: "own",
}


@dataclass(frozen=True, slots=True)
class RouteState:
    """What the invariants look at for one route: its service, whether it writes, and its flag."""

    route: str
    service: str
    writes: bool
    percent: float
    denies: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant (numbers as in the README), the entry that breaks it and what to do next."""

    invariant: int
    subject: str
    message: str


def violations(
    routes: Mapping[str, RouteState], data: Mapping[str, DataState]
) -> tuple[Violation, ...]:
    """Every broken invariant of a whole state; empty means the state is legal.

    `routes` by route name, `data` by service name; a service without an entry has its tables shared.
    """
    found: list[Violation] = []
    for name in sorted(routes):
        route = routes[name]
        if not 0.0 <= route.percent <= 100.0:
            found.append(
                Violation(1, name, f"percent {route.percent:g} of {name} is not between 0 and 100")
            )
        if not route.writes:
            continue
        state = data.get(route.service, DataState.SHARED)
        if OWNING_DATABASE[state] == "shared":
            continue
        if route.percent != 100.0:
            number = 2 if 0.0 < route.percent < 100.0 else 3
            found.append(
                Violation(
                    number,
                    name,
                    f"{name} writes and the tables of {route.service} are in its own database, so it"
                    f" must be at 100 percent, not {route.percent:g};"
                    f" run `migrate rollback {route.service}` to move the tables back first",
                )
            )
        elif route.denies:
            found.append(
                Violation(
                    3,
                    name,
                    f"{name} writes and the tables of {route.service} are in its own database, so"
                    " nobody may be denied the service; empty its deny list",
                )
            )
    return tuple(found)


def can_change_data(before: DataState, after: DataState) -> bool:
    """Whether the tables of a service may go from one state to another in one step."""
    return after in DATA_TRANSITIONS[before]


def traffic_state(percents: Mapping[str, float], shadows: Mapping[str, float]) -> TrafficState:
    """The traffic state of a service from the percents and shadow percents of its routes."""
    values = set(percents.values())
    if values == {100.0}:
        return TrafficState.SERVICE
    if any(value > 0.0 for value in values):
        return TrafficState.RAMP
    if any(value > 0.0 for value in shadows.values()):
        return TrafficState.SHADOW
    return TrafficState.MONOLITH
