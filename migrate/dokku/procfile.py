"""Procfile and app.json as Dokku reads them; pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

_ENTRY = re.compile(r"^([A-Za-z0-9_-]+):\s*(.+)$")
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*|.))")


def processes(text: str) -> dict[str, str]:
    """Command by process type; text after ` #` or ` //` of a command is cut, as Dokku does."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        entry = _ENTRY.match(line.strip())
        if entry and not line.startswith("#"):
            found[entry[1]] = re.split(r"\s(?:#|//)", entry[2])[0].strip()
    return found


def argv(command: str, environment: Mapping[str, str]) -> list[str]:
    """The words that a container gets: variables expanded on the host, then split, by no shell.

    Anything but a plain name of a variable with a value expands to nothing, `${PORT:-8080}` as well.
    """
    expanded = _VARIABLE.sub(lambda m: environment.get(m[1] or m[2] or "", ""), command)
    return shlex.split(expanded)


def json_with_comments(text: str) -> dict[str, Any]:
    """An app.json: JSON that may hold `//` and `/* */` comments and commas before closing brackets."""
    pattern = r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/'
    plain = re.sub(pattern, lambda m: m[1] or "", text, flags=re.DOTALL)
    plain = re.sub(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', lambda m: m[1] or "", plain)
    data = json.loads(plain)
    if not isinstance(data, dict):
        raise json.JSONDecodeError("not an object", text, 0)
    return data
