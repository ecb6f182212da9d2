"""The full decision trace of one request, for people; pure, decides with the same functions as the router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.control.model import ControlState
from shared.routing.decision import REASONS, decide_route, needs_key
from shared.routing.override import OverrideError, override_side, read_override
from shared.routing.paths import PathRefusedError, canonical_path
from shared.routing.routes import RouteMatch, RouteTable
from shared.routing.sticky import StickyKey, parse_rule, sticky_key


@dataclass(frozen=True, slots=True)
class Question:
    """A request to explain. Header names in any case; `body` only matters for `body:` keys."""

    method: str
    target: str
    host: str = ""
    address: str = "127.0.0.1"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    user: str | None = None  # a sticky key given by hand instead of a token

    def header(self, name: bytes) -> bytes | None:
        """The value of a header by lower-case name."""
        wanted = name.decode("latin-1")
        for key, value in self.headers.items():
            if key.lower() == wanted:
                return value.encode("latin-1")
        return None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at and what came out."""

    name: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a request goes and every step on the way. `side` is None when it is refused."""

    route: str | None
    side: str | None
    reason: str
    forwarded_path: str | None
    held: bool
    mode: str
    steps: tuple[Step, ...]

    def to_json(self) -> dict[str, object]:
        """Plain data for `--json` and the admin port."""
        return {
            "route": self.route,
            "side": self.side,
            "reason": self.reason,
            "forwarded_path": self.forwarded_path,
            "held": self.held,
            "mode": self.mode,
            "steps": [{"name": step.name, "outcome": step.outcome} for step in self.steps],
        }


def explain(
    question: Question,
    table: RouteTable,
    state: ControlState | None,
    *,
    configured: frozenset[str],
    secrets: tuple[str, ...] = (),
    now: float = 0.0,
) -> Explanation:
    """What the router would do with a request under a control state (None: there is none)."""
    steps: list[Step] = []
    path_bytes, _, query = question.target.encode("utf-8").partition(b"?")
    try:
        path = canonical_path(path_bytes)
    except PathRefusedError as error:
        steps.append(Step("path", f"refused with {error.status}: {error.reason}"))
        return _refused(steps, f"path refused: {error.reason}")
    steps.append(Step("path", f"{path} (the string that is matched and forwarded)"))
    match = table.match(question.method.upper(), path, question.host.lower())
    steps.append(Step("route", _match_outcome(match, question.method.upper())))
    if state is None:
        steps.append(Step("control", "no control state: neither store nor snapshot was readable"))
        return _refused(steps, "no control state, the answer is 503 UNAVAILABLE")
    steps.append(Step("control", f"version {state.version}"))
    if match is None:
        steps.append(Step("decision", REASONS["unmatched"]))
        return Explanation(
            None, "monolith", "unmatched", _with(path, query), False, "normal", tuple(steps)
        )
    return _explain_route(question, match, state, path, query, configured, secrets, now, steps)


def _explain_route(
    question: Question,
    match: RouteMatch,
    state: ControlState,
    path: str,
    query: bytes,
    configured: frozenset[str],
    secrets: tuple[str, ...],
    now: float,
    steps: list[Step],
) -> Explanation:
    route = match.route
    flag = state.flags.get(route.name)
    key: StickyKey | None = None
    if question.user is not None:
        key = StickyKey(question.user, "given by hand")
    elif flag is not None and needs_key(flag):
        key = sticky_key(parse_rule(route.sticky), question, question.body)
    if flag is not None:
        steps.append(
            Step(
                "flag",
                f"percent {flag.percent:g}, mode {flag.mode}, {len(flag.allow)} allowed,"
                f" {len(flag.deny)} denied, {'held' if flag.hold else 'not held'}",
            )
        )
    if key is not None:
        steps.append(Step("key", f"{key.value} from {key.origin} (rule {route.sticky})"))
    override = _override(question, match, secrets, now, steps)
    decision = decide_route(route, state, key, override=override, configured=configured)
    outcome = f"{decision.side}: {REASONS[decision.reason]}"
    if decision.bucket is not None:
        outcome += f" (bucket {decision.bucket}, service below {decision.threshold})"
    steps.append(Step("decision", outcome))
    forwarded = match.path_at(decision.side, path)
    if forwarded != path:
        steps.append(Step("rewrite", f"{path} becomes {forwarded} at the {decision.side}"))
    return Explanation(
        route.name,
        decision.side,
        decision.reason,
        _with(forwarded, query),
        flag is not None and flag.hold is not None,
        flag.mode if flag is not None else "normal",
        tuple(steps),
    )


def _override(
    question: Question,
    match: RouteMatch,
    secrets: tuple[str, ...],
    now: float,
    steps: list[Step],
) -> str | None:
    token = question.header(b"x-strangler-override")
    if token is None:
        return None
    try:
        sides = read_override(token.decode("latin-1"), secrets, now=now)
    except OverrideError as error:
        steps.append(Step("override", f"ignored: {error}"))
        return None
    side = override_side(sides, match.route.name, match.route.service)
    steps.append(Step("override", f"names {side}" if side else "names other routes"))
    return side


def _match_outcome(match: RouteMatch | None, method: str) -> str:
    if match is None:
        return "no route of the manifest fits"
    route = match.route
    text = f"{route.name} ({route.method} {route.path}) of service {route.service}"
    if match.parameters:
        text += " with " + ", ".join(f"{k}={v}" for k, v in match.parameters.items())
    if not match.allows_method:
        text += f"; {method} is not one of its methods, its owner answers"
    return text


def _with(path: str, query: bytes) -> str:
    return f"{path}?{query.decode('latin-1')}" if query else path


def _refused(steps: list[Step], reason: str) -> Explanation:
    return Explanation(None, None, reason, None, False, "normal", tuple(steps))
