"""Writes found routes as a manifest that loads, grouped by prefix, for a person to finish; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from migrate.skeleton.found import (
    FoundRoute,
    base_path,
    group_by_prefix,
    grouping_base,
    without_doubles,
)

_HEAD = """# A first manifest, read from {source}. It loads as it is: every route below is at the monolith until a flag
# says otherwise. What a program cannot know is for you: which groups become one service (put their routes
# together), which tables each owns, and whether kind, auth and shadow are right.

[project]
name = {name}
public_host = {host}
base_path = {base}

[router]
app = "router"

[monolith]
app = "api-monolith"
"""


def write_manifest(routes: Sequence[FoundRoute], *, name: str, host: str, source: str) -> str:
    """The TOML text. Routes that no pattern can express are listed as comments."""
    usable = without_doubles(route for route in routes if route.method)
    by_hand = [route for route in routes if not route.method]
    paths = [route.path for route in usable]
    base = base_path(paths)
    lines = [
        _HEAD.format(
            source=source, name=json.dumps(name), host=json.dumps(host), base=json.dumps(base)
        )
    ]
    for group, rows in group_by_prefix(usable, grouping_base(paths)).items():
        lines += _service(group, rows)
    if by_hand:
        lines.append("# Not taken over:")
        lines += [f"#   {route.path}  ({route.note})" for route in by_hand]
    return "\n".join(lines) + "\n"


def _service(group: str, rows: Sequence[FoundRoute]) -> Iterator[str]:
    yield f"[services.{group}]"
    yield f'app = "{group}-service"'
    yield 'placement = "shared"   # "own" once its tables are listed and shall move to a database of their own'
    yield "tables = []            # tables that only this service writes"
    yield "routes = ["
    names: set[str] = set()
    for route in rows:
        name = _unique(_name(group, route), names)
        parts = [
            f"name = {json.dumps(name)}",
            f'method = "{route.method}"',
            f"path = {json.dumps(route.path)}",
            f'kind = "{route.kind}"',
            f'auth = "{route.auth}"',
            f'idempotency = "{_idempotency(route)}"',
        ]
        parts += ["shadow = true"] if route.kind == "read" else []
        note = f"  # {' '.join(route.note.split())}" if route.note else ""
        yield f"  {{ {', '.join(parts)} }},{note}"
    yield "]"
    yield ""


def _idempotency(route: FoundRoute) -> str:
    if route.kind == "webhook":
        return "event_id"
    return {"GET": "safe", "PUT": "natural", "DELETE": "natural"}.get(route.method, "none")


def _name(group: str, route: FoundRoute) -> str:
    parts = route.path.removesuffix("/*").strip("/").split("/")
    plain = [part for part in parts if not part.startswith("{")]
    tail = re.sub(r"[^a-z0-9]+", "_", plain[-1].lower()).strip("_") if plain else "root"
    if parts[-1].startswith("{"):
        tail += "_item"
    if route.path.endswith("/*"):
        tail += "_below"
    verb = {"POST": "post", "PUT": "put", "PATCH": "patch", "DELETE": "delete"}.get(route.method)
    return f"{group}.{tail}" + (f"_{verb}" if verb else "")


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
