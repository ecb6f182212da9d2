"""Reads what Dokku prints: JSON reports, lists and one-value answers, into plain values; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared.errors import OperatorError

#: Word between `--` and the key of a report's flags, where it is not the plugin's own name.
_PREFIX = {"apps": "app", "certs": "ssl"}


class UnreadableReportError(OperatorError):
    """The host answered something that this version of the toolkit cannot read."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(
            f"cannot read the answer of `dokku {what}` ({problem}); Dokku 0.38 or newer is needed,"
            " see `migrate dokku doctor`"
        )
        self.what = what


def report(plugin: str, text: str) -> dict[str, str]:
    """A `--format json` report with its short keys; lists inside stay JSON text.

    Some plugins also emit each key with its prefix; the short one wins.
    """
    data = _json(f"{plugin}:report", text)
    if not isinstance(data, dict):
        raise UnreadableReportError(f"{plugin}:report", "not an object")
    prefix = f"{_PREFIX.get(plugin, plugin)}-"
    short: dict[str, str] = {}
    for key, value in sorted(data.items(), key=lambda item: item[0].startswith("--"), reverse=True):
        short[key.removeprefix("--").removeprefix(prefix)] = _text(value)
    return short


def json_list(what: str, text: str) -> list[dict[str, Any]]:
    """A JSON array of objects; nothing at all counts as empty."""
    if not text.strip():
        return []
    data = _json(what, text)
    if data is None:
        return []
    if not isinstance(data, list):
        raise UnreadableReportError(what, "not an array")
    return [row for row in data if isinstance(row, dict)]


def names(what: str, text: str) -> tuple[str, ...]:
    """A JSON array of strings."""
    data = _json(what, text or "[]")
    if not isinstance(data, list):
        raise UnreadableReportError(what, "not an array")
    return tuple(str(row) for row in data)


def config(text: str) -> dict[str, str]:
    """`config:export --format json`."""
    data = _json("config:export", text or "{}")
    if not isinstance(data, dict):
        raise UnreadableReportError("config:export", "not an object")
    return {str(key): str(value) for key, value in data.items()}


def scale(text: str) -> dict[str, int]:
    """`ps:scale --format json` as quantity by process type."""
    return {str(row["process_type"]): int(row["quantity"]) for row in json_list("ps:scale", text)}


def port_map(ports: Mapping[str, str]) -> frozenset[str]:
    """The port map of `ports:report`, as `scheme:host:container`."""
    rows = json.loads(ports.get("map-json") or "[]") or []
    return frozenset(f"{r['scheme']}:{r['host_port']}:{r['container_port']}" for r in rows)


def words(text: str) -> frozenset[str]:
    """A plain list of names: one per line or word, without headers and the placeholder `-`."""
    found: set[str] = set()
    for line in text.splitlines():
        if not line.startswith(("----->", "=====>", " !")):
            found.update(word for word in line.split() if word != "-")
    return frozenset(found)


def information(text: str) -> dict[str, str]:
    """The lines `Key words:   value` of a store's information, as `key-words`; `-` means none.

    The whole text is read because the flag `--version` cannot travel over ssh.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, rest = line.strip().partition(":")
        if colon and key and not line.startswith(("----->", "=====>")):
            found[key.lower().replace(" ", "-")] = "" if rest.strip() == "-" else rest.strip()
    return found


def options(docker: Mapping[str, str], phase: str) -> tuple[str, ...]:
    """The Docker options of a phase, in order."""
    raw = docker.get(f"{phase}-list")
    if raw is None:
        return ()
    return tuple(str(option) for option in json.loads(raw or "[]") or [])


def listed(text: str) -> frozenset[str]:
    """A comma-separated property; Dokku writes `none` for an empty one."""
    return frozenset(part for part in text.replace(",", " ").split() if part != "none")


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnreadableReportError(what, "not JSON") from error


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else json.dumps(value)
