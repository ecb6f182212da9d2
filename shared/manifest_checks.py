"""Cross-checks of a manifest that no single model can make, each naming the entry and its line; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.manifest import Manifest


def problems(manifest: Manifest, text: str = "") -> tuple[str, ...]:
    """Every inconsistency, as `line N: entry: what is wrong`; empty means usable."""
    found: list[str] = []
    for check in (_names, _routes, _tables, _events, _phases):
        for entry, message in check(manifest):
            found.append(f"line {line_of(text, entry)}: {entry}: {message}")
    return tuple(found)


def line_of(text: str, entry: str) -> int:
    """The first line that names `entry` as a whole value or key; 1 when none does."""
    pattern = re.compile(rf'(["\'.\[]|^|\b){re.escape(entry)}(["\'.\]=\s]|$)')
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line.split(" # ")[0]):
            return number
    return 1


def find_line(text: str, data: Mapping[str, Any], location: Sequence[str | int]) -> int:
    """The line of a validation error: that of the named entry nearest to it in the file."""
    value: Any = data
    start, tail = 1, list(location)
    for depth, part in enumerate(location):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            start, tail = line_of(text, value["name"]), list(location[depth + 1 :])
    key = next((str(part) for part in reversed(tail) if isinstance(part, str)), None)
    if key is None:
        return start
    for number, line in enumerate(text.splitlines(), start=1):
        if number >= start and re.search(rf"\b{re.escape(key)}\b\s*=", line):
            return number
    return start


def _names(manifest: Manifest) -> Iterator[tuple[str, str]]:
    owners: dict[str, str] = {
        manifest.router.app: "router",
        manifest.monolith.app: "monolith",
    }
    for name, service in manifest.services.items():
        if name != service.name:
            yield name, f"the table is [services.{name}] but its name is {service.name!r}"
        if service.app in owners:
            yield service.app, f"app of both {owners[service.app]} and {name}"
        owners[service.app] = name


def _routes(manifest: Manifest) -> Iterator[tuple[str, str]]:
    names: dict[str, str] = {}
    shapes: dict[tuple[str, str, str], str] = {}
    for route in manifest.routes:
        if route.name in names:
            yield route.name, f"claimed by both {names[route.name]} and {route.service}"
        names[route.name] = route.service
        if not route.path.startswith(manifest.project.base_path + "/"):
            yield route.name, f"path {route.path} is outside {manifest.project.base_path}/"
        for host in route.hosts or ("",):
            shape = (host, route.method, re.sub(r"\{[^}]*\}", "{}", route.path))
            if shape in shapes:
                yield (
                    route.name,
                    f"{route.method} {route.path} overlaps with {shapes[shape]}:"
                    " no request could tell them apart",
                )
            shapes[shape] = route.name
        if route.rewrite and parameters(route.rewrite) - parameters(route.path):
            missing = ", ".join(sorted(parameters(route.rewrite) - parameters(route.path)))
            yield route.name, f"rewrite uses parameters that the path does not have: {missing}"
    for alias in manifest.aliases:
        if not any(route.path.startswith(alias.target) for route in manifest.routes):
            yield alias.prefix, f"alias of {alias.target}, under which there is no route"


def parameters(path: str) -> frozenset[str]:
    """Names of the `{parameters}` of a path pattern."""
    return frozenset(re.findall(r"\{([^}]*)\}", path))


def _tables(manifest: Manifest) -> Iterator[tuple[str, str]]:
    owners = dict.fromkeys(manifest.platform.shared_tables, "platform")
    owners |= dict.fromkeys(manifest.platform.everywhere_tables, "platform")
    for name, service in manifest.services.items():
        for table in service.tables:
            if table in owners:
                yield (
                    table,
                    f"table of both {owners[table]} and {name}; a table has one writing owner",
                )
            owners[table] = name
        if service.placement == "own" and not service.tables:
            yield name, 'placement is "own" but it owns no table that could move'


def _events(manifest: Manifest) -> Iterator[tuple[str, str]]:
    producers: dict[str, str] = {}
    for name, service in manifest.services.items():
        for event in service.publishes:
            if event in producers:
                yield event, f"published by both {producers[event]} and {name}"
            producers[event] = name
    for name, service in manifest.services.items():
        for event in service.subscribes:
            if event not in producers:
                yield event, f"{name} subscribes to it but no service publishes it"


def _phases(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if not manifest.phases:
        return
    numbers = [phase.number for phase in manifest.phases]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "phases", f"numbers are {numbers}; they must be 1, 2, 3, … in order"
    ramped: dict[str, int] = {}
    for phase in manifest.phases:
        for step in phase.steps:
            name = getattr(step, "service", None)
            if name is None:
                continue
            if name not in manifest.services:
                yield name, f"phase {phase.number} names a service that does not exist"
            elif step.do == "ramp" and ramped.setdefault(name, phase.number) != phase.number:
                yield (
                    name,
                    f"ramped in phases {ramped[name]} and {phase.number}; once is enough",
                )
        for number in phase.after:
            if number not in numbers:
                yield phase.name, f"comes after phase {number}, which does not exist"
    for name in manifest.services:
        if name not in ramped:
            yield name, "is ramped in no phase"
