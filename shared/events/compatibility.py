"""Whether changed event schemas can still be read by consumers of the released ones; pure but for its files.

A new data field keeps the version; anything else makes a new one (public contract, section 4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.events.catalogue import Schema

#: Every schema that was ever released, beside the schemas that are edited.
RELEASED = Path(__file__).parent / "released.json"
#: Keywords that only explain; they may change freely.
ANNOTATIONS = frozenset({"title", "description", "examples", "$comment", "$schema", "$id"})


def breaking_changes(
    released: Mapping[str, Schema], current: Mapping[str, Schema]
) -> tuple[str, ...]:
    """What a consumer of a released schema could stumble over; empty when there is nothing."""
    found: list[str] = []
    for name in sorted(released):
        if name not in current:
            found.append(f"{name}: removed; its events may still be on their way")
        else:
            found += [f"{name}: {problem}" for problem in _object(released[name], current[name])]
    return tuple(found)


def unreleased(released: Mapping[str, Schema], current: Mapping[str, Schema]) -> tuple[str, ...]:
    """Names of schemas that are new or differ from their released form."""
    return tuple(name for name in sorted(current) if released.get(name) != current[name])


def read_released(path: Path = RELEASED) -> dict[str, Schema]:
    """The released schemas by name."""
    found: dict[str, Schema] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_released(current: Mapping[str, Schema], path: Path = RELEASED) -> None:
    """Make the current schemas the released ones; refuses nothing: call breaking_changes first."""
    text = json.dumps({name: current[name] for name in sorted(current)}, indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def _object(old: Any, new: Any, where: str = "") -> list[str]:
    """Differences of two schemas; only properties that are added to an object are no difference."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [] if old == new else [f"{where or 'data'} changed"]
    found: list[str] = []
    old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
    for field, schema in old_fields.items():
        path = f"{where}.{field}" if where else field
        if field not in new_fields:
            found.append(f"field {path} was removed")
        else:
            found += _object(schema, new_fields[field], path)
    if dropped := sorted(set(old.get("required", ())) - set(new.get("required", ()))):
        found.append(f"{where or 'data'} no longer always has {', '.join(dropped)}")
    if "items" in old or "items" in new:
        found += _object(old.get("items"), new.get("items"), f"{where}[]")
    rest = (old.keys() | new.keys()) - ANNOTATIONS - {"properties", "required", "items"}
    found += [
        f"{where or 'data'}: {keyword} was {old.get(keyword)!r} and is {new.get(keyword)!r}"
        for keyword in sorted(rest)
        if old.get(keyword) != new.get(keyword)
    ]
    return found
