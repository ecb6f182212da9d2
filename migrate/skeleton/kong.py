"""Routes of a Kong declarative file (DB-less or deck); pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from migrate.skeleton.found import (
    METHODS,
    FoundRoute,
    UnreadableSourceError,
    clean_path,
    guess_kind,
)

#: Kong plugins that let nobody in without credentials.
_AUTH_PLUGINS = frozenset(
    {"jwt", "key-auth", "oauth2", "basic-auth", "hmac-auth", "openid-connect", "ldap-auth"}
)


def read_kong(document: Any) -> tuple[FoundRoute, ...]:
    """Every path of every route: Kong's are prefixes, so each becomes `path` and `path/*`."""
    if not isinstance(document, Mapping) or "_format_version" not in document:
        raise UnreadableSourceError("this is no Kong declarative file: it has no _format_version")
    found = tuple(
        route
        for service in _list(document, "services")
        for row in _list(service, "routes")
        for route in _routes(service, row, _is_guarded(document, service, row))
    )
    loose = tuple(
        route
        for row in _list(document, "routes")
        for route in _routes({}, row, _is_guarded(document, {}, row))
    )
    if not found + loose:
        raise UnreadableSourceError("the Kong file has no route with a path")
    return found + loose


def _list(row: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = row.get(key)
    return (
        [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
    )


def _is_guarded(*rows: Mapping[str, Any]) -> bool:
    return any(
        str(plugin.get("name")) in _AUTH_PLUGINS and plugin.get("enabled", True)
        for row in rows
        for plugin in _list(row, "plugins")
    )


def _routes(
    service: Mapping[str, Any], row: Mapping[str, Any], guarded: bool
) -> Iterator[FoundRoute]:
    methods = [m for m in row.get("methods") or METHODS if m in METHODS]
    group = str(service.get("name") or row.get("service", {}) or "")
    for path in row.get("paths") or ():
        text = str(path)
        regex = text.startswith("~")
        clean = clean_path(text)
        note = f"Kong route {row.get('name') or '(no name)'}"
        if regex or clean is None:
            yield FoundRoute(
                "", text, "", "", group, f"{note}: a regular expression, write it by hand"
            )
            continue
        for method in methods:
            kind = guess_kind(method, clean)
            auth = "signature" if kind == "webhook" else "user" if guarded else "public"
            yield FoundRoute(method, clean, kind, auth, group, note)
            yield FoundRoute(method, f"{clean}/*", kind, auth, group, note)
