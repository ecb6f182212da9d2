"""Routes as another tool describes them, and how they become entries of a manifest; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.errors import OperatorError

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Share of the paths that must begin with the same segment for groups to begin below it.
SHARED_BY = 0.8
#: Words in a path that mean that a vendor calls it.
_WEBHOOK = re.compile(r"(^|[/_-])(webhooks?|callbacks?|hooks?)($|[/_-])")


class UnreadableSourceError(OperatorError):
    """The document cannot be turned into routes."""

    exit_code = 7


@dataclass(frozen=True, slots=True)
class FoundRoute:
    """One public endpoint. `kind` and `auth` are guesses that a person checks; `note` says why."""

    method: str
    path: str
    kind: str
    auth: str
    group: str = ""
    note: str = ""


def guess_kind(method: str, path: str, *, streams: bool = False, uploads: bool = False) -> str:
    """What a route does, from its method, its words and its media types."""
    if _WEBHOOK.search(path.lower()) and method != "GET":
        return "webhook"
    if uploads:
        return "upload"
    if streams:
        return "stream"
    return "read" if method == "GET" else "write"


def clean_path(path: str) -> str | None:
    """A path pattern of the manifest: `{parameters}` with plain names, no trailing slash; None if none."""
    path = re.sub(r"/{2,}", "/", "/" + path.strip("/"))
    parts = []
    for part in path.strip("/").split("/"):
        name = re.fullmatch(r"[{<:]+(?:[a-z]+:)?([A-Za-z_][\w-]*)[>}]*(?::path)?[>}]*", part)
        if name:
            parts.append("{" + re.sub(r"\W", "_", name[1]) + "}")
        elif re.fullmatch(r"[A-Za-z0-9._~!$&'()+,;=:@%-]*", part):
            parts.append(part)
        else:
            return None
    return "/" + "/".join(parts) if parts != [""] else None


def base_path(paths: Iterable[str]) -> str:
    """The longest common beginning in whole segments that are no parameters, at most two deep."""
    split = [path.strip("/").split("/") for path in paths]
    common: list[str] = []
    for column in zip(*split, strict=False):
        first = column[0]
        if any(part != first for part in column) or first.startswith("{") or first == "*":
            break
        common.append(first)
    longest = min((len(parts) for parts in split), default=0)
    common = common[: min(2, max(0, longest - 1))]
    return "/" + "/".join(common) if common else ""


def grouping_base(paths: Sequence[str]) -> str:
    """Where groups begin: the first segment if most paths share it (`/api` beside one `/health`)."""
    common = base_path(paths)
    if common:
        return common
    first = Counter(path.strip("/").split("/")[0] for path in paths if path.count("/") > 1)
    word, count = first.most_common(1)[0] if first else ("", 0)
    shared = count >= SHARED_BY * len(paths) and not word.startswith("{")
    return f"/{word}" if shared else ""


def group_by_prefix(
    routes: Sequence[FoundRoute], base: str
) -> Mapping[str, tuple[FoundRoute, ...]]:
    """Routes by the first segment below the base, as a name that a service can have."""
    groups: dict[str, list[FoundRoute]] = {}
    for route in routes:
        inside = route.path.startswith(base + "/")
        rest = (route.path.removeprefix(base) if inside else route.path).strip("/").split("/")[0]
        name = re.sub(r"[^a-z]", "", (route.group or rest).lower()) or "root"
        groups.setdefault(name, []).append(route)
    return {name: tuple(rows) for name, rows in groups.items()}


def without_doubles(routes: Iterable[FoundRoute]) -> tuple[FoundRoute, ...]:
    """The first route of every method and shape; a router could not tell the others apart."""
    seen: set[tuple[str, str]] = set()
    kept: list[FoundRoute] = []
    for route in routes:
        shape = (route.method, re.sub(r"\{[^}]*\}", "{}", route.path))
        if shape not in seen:
            seen.add(shape)
            kept.append(route)
    return tuple(kept)
