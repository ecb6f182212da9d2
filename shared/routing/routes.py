"""The compiled route table: method, host and canonical path to one route; pure, knows no flags.

Patterns are exact (`/api/search`), with parameters (`/api/x/{id}/y`) or prefixes (`/api/x/*`, which
takes everything below `/api/x/`). A fixed segment wins over a parameter and a parameter over a prefix, from
left to right; a longer prefix wins over a shorter one. Two routes that one request could reach with
equal right are refused when the table is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from shared.routing.paths import PathRefusedError, canonical_path
from shared.routing.policy import RoutePolicy

Kind = Literal["read", "write", "stream", "upload", "websocket", "webhook"]

_PARAMETER: Final = re.compile(r"\{[a-z][a-z0-9_]*\}")
#: Kinds that change nothing, so that a read-only mode lets them pass.
READING_KINDS: frozenset[str] = frozenset({"read"})


class RouteConflictError(ValueError):
    """Two entries claim the same requests, or an entry cannot be compiled."""


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """What the table needs to know of one route of the manifest."""

    name: str
    service: str
    method: str
    path: str
    kind: Kind = "read"
    hosts: tuple[str, ...] = ()  # empty: every host
    sticky: str = "user"
    writes: bool = False
    idempotency: str = "none"  # safe | natural | key | event_id | none
    fallback: bool = False
    shadow: bool = False
    rewrite: str | None = None  # pattern of the path at the service, with the same parameters
    bucket: str = "default"
    first_byte_seconds: float | None = None  # None: the upstream's own
    max_body_bytes: int | None = None  # None: the router's own
    policy: RoutePolicy = field(default_factory=RoutePolicy)


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a request; `allows_method` is False when only the path fits (the app answers 405)."""

    route: RouteSpec
    parameters: Mapping[str, str]
    allows_method: bool = True

    def path_at(self, side: str, path: str) -> str:
        """The path as `side` gets it: rewritten towards the service, as it came to the monolith."""
        if self.route.rewrite is None or side != "service" or path.endswith("/"):
            return path
        rewritten = _PARAMETER.sub(
            lambda found: self.parameters.get(found[0][1:-1], found[0]), self.route.rewrite
        )
        return rewritten.replace("/*", "/" + self.parameters.get("*", ""))


@dataclass(frozen=True, slots=True)
class Alias:
    """Every pattern below `target` is served below `prefix` too, as the same route, not rewritten."""

    prefix: str
    target: str


class _Node:
    __slots__ = ("fixed", "parameter", "prefix", "route")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.prefix: tuple[RouteSpec, tuple[str, ...]] | None = None
        self.route: tuple[RouteSpec, tuple[str, ...]] | None = None


class _Tree:
    """Routes of one method on one host."""

    __slots__ = ("exact", "root")

    def __init__(self) -> None:
        self.exact: dict[str, RouteMatch] = {}
        self.root = _Node()

    def add(self, route: RouteSpec, pattern: str) -> RouteSpec | None:
        """Insert; the route that already has this place, if any."""
        if "{" not in pattern and not pattern.endswith("/*"):
            if pattern in self.exact:
                return self.exact[pattern].route
            self.exact[pattern] = RouteMatch(route, {})
        node = self.root
        names: list[str] = []
        segments = pattern.split("/")[1:]
        is_prefix = segments[-1] == "*"
        for segment in segments[:-1] if is_prefix else segments:
            if _PARAMETER.fullmatch(segment):
                names.append(segment[1:-1])
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
            else:
                node = node.fixed.setdefault(segment, _Node())
        held = node.prefix if is_prefix else node.route
        if held is not None:
            return held[0]
        if is_prefix:
            node.prefix = (route, tuple(names))
        else:
            node.route = (route, tuple(names))
        return None

    def find(self, path: str) -> RouteMatch | None:
        found = self.exact.get(path)
        if found is not None:
            return found
        return _descend(self.root, path.split("/"), 1, ())


def _descend(
    node: _Node, segments: list[str], index: int, values: tuple[str, ...]
) -> RouteMatch | None:
    if index == len(segments):
        if node.route is None:
            return None
        route, names = node.route
        return RouteMatch(route, dict(zip(names, values, strict=True)))
    segment = segments[index]
    child = node.fixed.get(segment)
    if child is not None:
        found = _descend(child, segments, index + 1, values)
        if found is not None:
            return found
    if node.parameter is not None and segment:
        found = _descend(node.parameter, segments, index + 1, (*values, segment))
        if found is not None:
            return found
    if node.prefix is not None:
        route, names = node.prefix
        values_by_name = dict(zip(names, values, strict=True))
        values_by_name["*"] = "/".join(segments[index:])
        return RouteMatch(route, values_by_name)
    return None


class RouteTable:
    """All routes, compiled. Raises RouteConflictError when two entries claim the same requests."""

    def __init__(self, routes: Iterable[RouteSpec], aliases: Iterable[Alias] = ()) -> None:
        self.routes: tuple[RouteSpec, ...] = tuple(routes)
        self.by_name: dict[str, RouteSpec] = {}
        self._trees: dict[tuple[str, str], _Tree] = {}
        self._hosts: set[str] = set()
        self._methods: list[str] = []
        alias_list = tuple(aliases)
        for route in self.routes:
            if route.name in self.by_name:
                raise RouteConflictError(f"two routes are named {route.name!r}")
            self.by_name[route.name] = route
            for pattern in patterns_of(route, alias_list):
                for host in route.hosts or ("",):
                    self._add(route, pattern, host.lower())

    def _add(self, route: RouteSpec, pattern: str, host: str) -> None:
        check_pattern(route.name, pattern)
        if host:
            self._hosts.add(host)
        if route.method not in self._methods:
            self._methods.append(route.method)
        tree = self._trees.setdefault((host, route.method), _Tree())
        other = tree.add(route, pattern)
        if other is not None:
            raise RouteConflictError(
                f"routes {other.name!r} and {route.name!r} both claim {route.method} {pattern}"
                + (f" on host {host}" if host else "")
                + "; give one of them another path, method or host"
            )

    def match(self, method: str, path: str, host: str = "") -> RouteMatch | None:
        """The route of a request, or None. `path` is canonical, `host` lower case without port.

        HEAD is served wherever GET is. When the path is known but for the method or for a slash at its
        end, the first route of the path is given with `allows_method=False`, so that its owner answers.
        """
        wanted = "GET" if method == "HEAD" else method
        found = self._find(wanted, path, host)
        if found is not None:
            return found
        for other in self._methods:
            found = self._find(other, path, host)
            if found is not None:
                return RouteMatch(found.route, found.parameters, allows_method=False)
        if len(path) > 1 and path[-1] == "/":
            found = self.match(method, path[:-1], host)
            if found is not None:
                return RouteMatch(found.route, found.parameters, allows_method=False)
        return None

    def _find(self, method: str, path: str, host: str) -> RouteMatch | None:
        if host in self._hosts:
            tree = self._trees.get((host, method))
            if tree is not None:
                found = tree.find(path)
                if found is not None:
                    return found
        tree = self._trees.get(("", method))
        return tree.find(path) if tree is not None else None


def patterns_of(route: RouteSpec, aliases: tuple[Alias, ...]) -> tuple[str, ...]:
    """The route's own pattern and those that aliases add."""
    extra = [
        alias.prefix + route.path[len(alias.target) :]
        for alias in aliases
        if route.path.startswith(alias.target)
    ]
    # `/api/images` itself belongs to the alias of `/api/images/` as well.
    extra += [
        alias.prefix.rstrip("/")
        for alias in aliases
        if alias.target.endswith("/") and route.path == alias.target.rstrip("/")
    ]
    return (route.path, *extra)


def check_pattern(name: str, pattern: str) -> None:
    """Raises RouteConflictError when a pattern could never match a canonical path."""
    body = pattern[:-2] if pattern.endswith("/*") else pattern
    literal = _PARAMETER.sub("x", body)
    try:
        is_canonical = not body or canonical_path(literal.encode("utf-8")) == literal
    except PathRefusedError as error:
        raise RouteConflictError(f"route {name!r}: {pattern!r}: {error.reason}") from error
    if not is_canonical or "{" in literal or "}" in literal or "*" in literal:
        raise RouteConflictError(
            f"route {name!r}: {pattern!r} is not a pattern; use /fixed, /{{parameter}} or a final /*"
        )
