"""Which methods a path has: 404, 405, `Allow` and aliases, decided before any handler; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from shared.contract.routes import Alias, PublicRoute

_PARAMETER = re.compile(r"\{[^{}]+\}")


@dataclass(frozen=True, slots=True)
class PathEntry:
    """Everything that is served under one path pattern."""

    path: str
    routes: Mapping[str, PublicRoute | None] = field(
        default_factory=dict
    )  # by method; None: internal

    @property
    def allowed(self) -> tuple[str, ...]:
        """Methods for `Allow`: HEAD comes with GET, OPTIONS always works."""
        methods = {*self.routes, "OPTIONS"} | ({"HEAD"} if "GET" in self.routes else set())
        return tuple(sorted(methods))

    @property
    def domain(self) -> str | None:
        """The domain that owns the path; None for internal ones."""
        return next((route.service for route in self.routes.values() if route), None)


class PathIndex:
    """Looks paths up: exact ones in a dict, patterns in the order of declaration."""

    def __init__(
        self,
        routes: Iterable[PublicRoute],
        *,
        internal: Iterable[str] = (),
        aliases: Iterable[Alias] = (),
    ) -> None:
        by_path: dict[str, dict[str, PublicRoute | None]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        for path in internal:
            by_path.setdefault(path, {})["GET"] = None
        entries = [PathEntry(path, methods) for path, methods in by_path.items()]
        self._exact = {entry.path: entry for entry in entries if "{" not in entry.path}
        self._patterns = [(_compile(entry.path), entry) for entry in entries if "{" in entry.path]
        self._aliases = tuple(aliases)

    def canonical(self, path: str) -> str:
        """The path with an old prefix replaced by its new one."""
        for alias in self._aliases:
            if path.startswith(alias.prefix):
                return alias.target + path.removeprefix(alias.prefix)
        return path

    def find(self, path: str) -> PathEntry | None:
        """The entry of a canonical path. An exact path wins over a pattern."""
        entry = self._exact.get(path)
        if entry is not None:
            return entry
        for pattern, candidate in self._patterns:
            if pattern.fullmatch(path):
                return candidate
        return None


def relative_location(raw_path: bytes, query: bytes) -> str | None:
    """`Location` of a GET with a trailing slash: path and query only, never a host name.

    None when the slash is not written as one (`%2F`); such a path is simply unknown.
    """
    if not raw_path.endswith(b"/"):
        return None
    path = quote(raw_path.rstrip(b"/").decode("latin-1"), safe="/%:@!$&'()*+,;=-._~")
    if not path.startswith("/") or path.startswith("//"):
        return None
    return path + (
        "?" + quote(query.decode("latin-1"), safe="/%?:@!$&'()*+,;=-._~") if query else ""
    )


def _compile(path: str) -> re.Pattern[str]:
    parts = _PARAMETER.split(path)
    return re.compile("[^/]+".join(re.escape(part) for part in parts))
