"""Reads Stripe's form encoding (`items[0][price]=…`) into nested objects; pure."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

Form = dict[str, Any]

_PARTS = re.compile(r"[^\[\]]+")


def parse_form(text: str) -> Form:
    """Nested dicts of strings; objects whose keys are all numbers become lists."""
    root: Form = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        parts = _PARTS.findall(name)
        if name.endswith("[]"):
            parts.append(str(len(_inner(root, parts))))
        _inner(root, parts[:-1])[parts[-1]] = value
    return {name: _with_lists(value) for name, value in root.items()}


def truth(value: object) -> bool:
    """A boolean as Stripe writes it."""
    return value in ("true", "True", True)


def _inner(root: Form, parts: list[str]) -> Form:
    place = root
    for part in parts:
        found = place.setdefault(part, {})
        if not isinstance(found, dict):
            found = place[part] = {}
        place = found
    return place


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(one) for name, one in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
