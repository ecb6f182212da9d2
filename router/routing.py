"""Routes with everything the hot path wants ready: flag, key rule, limits, app, counters; no I/O.

A control state is compiled once when it arrives; a request then only looks things up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.metrics import Metrics, RouteSide
from shared.control.model import ControlState, Flag
from shared.routing.decision import Decision, decide, needs_key
from shared.routing.routes import RouteSpec, RouteTable
from shared.routing.sticky import StickyRule, parse_rule

#: Label of everything that no route of the manifest fits; the monolith owns it.
UNMATCHED = "unmatched"
#: Limits of a request that no route fits are the router's own.
_UNMATCHED_SPEC = RouteSpec(
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
    flag: Flag | None = None
    is_pinned: bool = False
    fixed: Decision | None = None  # the decision when it depends on no key
    has_hold: bool = False
    has_mode: bool = False

    def counts(self, side: str) -> RouteSide:
        """The counters of a side; those of the router when no side was chosen."""
        if side == "service":
            return self.service
        return self.monolith if side == "monolith" else self.router


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
        self.unmatched.fixed = Decision("monolith", "unmatched")

    @property
    def runtimes(self) -> Mapping[str, RouteRuntime]:
        return self._runtimes

    def of(self, spec: RouteSpec) -> RouteRuntime:
        return self._runtimes[spec.name]

    def apply(self, state: ControlState) -> None:
        """Obey a control state from the next request on."""
        for runtime in self._runtimes.values():
            if runtime is self.unmatched:
                continue
            flag = state.flags.get(runtime.spec.name)
            runtime.flag = flag
            runtime.is_pinned = state.is_pinned(runtime.spec.name)
            runtime.has_hold = flag is not None and flag.hold is not None
            runtime.has_mode = flag is not None and flag.mode != "normal"
            if flag is None or not needs_key(flag) or runtime.is_pinned:
                runtime.fixed = decide(
                    flag, None, is_pinned=runtime.is_pinned, is_configured=runtime.is_configured
                )
            else:
                runtime.fixed = None
        self.state = state


def _runtime(
    spec: RouteSpec, configured: frozenset[str], max_body_bytes: int, metrics: Metrics
) -> RouteRuntime:
    return RouteRuntime(
        spec=spec,
        rule=parse_rule(spec.sticky),
        max_body_bytes=max_body_bytes if spec.max_body_bytes is None else spec.max_body_bytes,
        is_configured=spec.service in configured,
        monolith=metrics.side(spec.name, "monolith"),
        service=metrics.side(spec.name, "service"),
        router=metrics.side(spec.name, "router"),
    )
