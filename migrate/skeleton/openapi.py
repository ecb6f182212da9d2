"""Routes of an OpenAPI 3 or Swagger 2 document; pure."""

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


def read_openapi(document: Any) -> tuple[FoundRoute, ...]:
    """Every operation of the document's paths; raises UnreadableSourceError when there are none."""
    if not isinstance(document, Mapping) or not isinstance(document.get("paths"), Mapping):
        raise UnreadableSourceError("this is no OpenAPI document: it has no `paths`")
    prefix = _prefix(document)
    secured = bool(document.get("security"))
    found = tuple(
        route
        for path, item in document["paths"].items()
        if isinstance(item, Mapping)
        for route in _operations(prefix + str(path), item, secured)
    )
    if not found:
        raise UnreadableSourceError("the OpenAPI document has no operation")
    return found


def _prefix(document: Mapping[str, Any]) -> str:
    """Swagger 2 has a base path; OpenAPI 3 has it in the first server's URL, if that is relative."""
    base = str(document.get("basePath") or "")
    servers = document.get("servers")
    if not base and isinstance(servers, list) and servers and isinstance(servers[0], Mapping):
        url = str(servers[0].get("url") or "")
        base = url if url.startswith("/") else ""
    return base.rstrip("/")


def _operations(path: str, item: Mapping[str, Any], secured: bool) -> Iterator[FoundRoute]:
    clean = clean_path(path)
    if clean is None:
        return
    for method in METHODS:
        operation = item.get(method.lower())
        if not isinstance(operation, Mapping):
            continue
        kind = guess_kind(method, clean, streams=_streams(operation), uploads=_uploads(operation))
        security = operation.get("security", secured)
        auth = "signature" if kind == "webhook" else "user" if security else "public"
        yield FoundRoute(method, clean, kind, auth, note=str(operation.get("summary") or ""))


def _uploads(operation: Mapping[str, Any]) -> bool:
    if "multipart/form-data" in operation.get("consumes", ()):
        return True
    body = operation.get("requestBody")
    content = body.get("content", {}) if isinstance(body, Mapping) else {}
    return "multipart/form-data" in content or "application/octet-stream" in content


def _streams(operation: Mapping[str, Any]) -> bool:
    responses = operation.get("responses")
    if not isinstance(responses, Mapping):
        return False
    return any(
        "text/event-stream" in row.get("content", {})
        for row in responses.values()
        if isinstance(row, Mapping)
    )
