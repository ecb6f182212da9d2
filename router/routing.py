"""Routes with everything the hot path wants ready: flag, key rule, limits, counters; no I/O.

A control state is compiled once when it arrives; a request then only looks things up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from router.hold import RouteHold
from router.metrics import Metrics, RouteSide
from shared.control.model import ControlState, Flag
from shared.routing.decision import MONOLITH, SERVICE, Decision, decide, needs_key
from shared.routing.routes import RouteSpec, RouteTable
from shared.routing.sticky import StickyRule, parse_rule

#: Label of everything that no route of the manifest fits; the monolith owns it.
UNMATCHED: Final = "unmatched"
#: Limits of a request that no route fits are the router's own.
_UNMATCHED_SPEC: Final = RouteSpec(
    name=UNMATCHED, service="", method="*", path="/*", kind="write", writes=True
)


@dataclass(slots=True)
class RouteRuntime:
    """One route and what the current control state says of it."""

    spec: RouteSpec
    rule: StickyRule
    max_body_bytes: int
    is_configured: bool
    monolith: RouteSide
    service: RouteSide
    router: RouteSide
    has_policy: bool
    flag: Flag | None = None
    is_pinned: bool = False
    fixed: Decision | None = None  # the decision when it depends on no key
    hold: RouteHold | None = None
    has_mode: bool = False
    leaves_monolith: bool = False  # reads may fall back from the monolith to the service
    leaves_service: bool = False

    def counts(self, side: str) -> RouteSide:
        """The counters of a side; those of the router when no side was chosen."""
        if side == SERVICE:
            return self.service
        return self.monolith if side == MONOLITH else self.router

    def may_leave(self, side: str) -> bool:
        """Whether a request decided for `side` may go to the other one when that fails."""
        return self.leaves_service if side == SERVICE else self.leaves_monolith


class Routing:
    """The route table joined with the newest control state."""

    def __init__(
        self,
        table: RouteTable,
        *,
        configured: frozenset[str],
        max_body_bytes: int,
        metrics: Metrics,
    ) -> None:
        self.table = table
        self.configured = configured
        self.state: ControlState | None = None
        self._runtimes: dict[str, RouteRuntime] = {
            spec.name: _runtime(spec, configured, max_body_bytes, metrics)
            for spec in (*table.routes, _UNMATCHED_SPEC)
        }
        self.unmatched = self._runtimes[UNMATCHED]
        self.unmatched.fixed = Decision(MONOLITH, "unmatched")

    @property
    def runtimes(self) -> Mapping[str, RouteRuntime]:
        return self._runtimes

    def of(self, spec: RouteSpec) -> RouteRuntime:
        return self._runtimes[spec.name]

    def apply(self, state: ControlState, now: float) -> None:
        """Obey a control state from the next request on. `now` on the loop's clock."""
        for runtime in self._runtimes.values():
            if runtime is not self.unmatched:
                _apply(runtime, state, now)
        self.state = state


def _apply(runtime: RouteRuntime, state: ControlState, now: float) -> None:
    spec = runtime.spec
    flag = state.flags.get(spec.name)
    runtime.flag = flag
    runtime.is_pinned = state.is_pinned(spec.name)
    runtime.has_mode = flag is not None and flag.mode != "normal"
    limits = flag.hold if flag is not None else None
    if limits is None:
        runtime.hold = None
    elif runtime.hold is None or runtime.hold.limits != limits:
        runtime.hold = RouteHold(limits, now)
    if flag is None or not needs_key(flag) or runtime.is_pinned or not runtime.is_configured:
        runtime.fixed = decide(
            flag, None, is_pinned=runtime.is_pinned, is_configured=runtime.is_configured
        )
    else:
        runtime.fixed = None
    shares_tables = state.placement(spec.service).side == "shared"
    runtime.leaves_service = (
        spec.fallback and runtime.is_configured and shares_tables and not runtime.is_pinned
    )
    # A service that was given no traffic yet gets none because the monolith fails, either.
    runtime.leaves_monolith = runtime.leaves_service and flag is not None and flag.percent > 0.0


def _runtime(
    spec: RouteSpec, configured: frozenset[str], max_body_bytes: int, metrics: Metrics
) -> RouteRuntime:
    return RouteRuntime(
        spec=spec,
        rule=parse_rule(spec.sticky),
        max_body_bytes=max_body_bytes if spec.max_body_bytes is None else spec.max_body_bytes,
        is_configured=spec.service in configured,
        monolith=metrics.side(spec.name, MONOLITH),
        service=metrics.side(spec.name, SERVICE),
        router=metrics.side(spec.name, "router"),
        has_policy=spec.policy.is_active,
    )
