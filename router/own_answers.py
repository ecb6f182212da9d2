"""What the router answers for itself on the public port: its health and `OPTIONS *`; pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from router.failure import Cause, Refusal
from shared.errors import Code

HEALTH_PATH = "/health"
_ALLOW = (("Allow", "GET, HEAD, OPTIONS"),)

OwnAnswer = tuple[int, bytes, tuple[tuple[str, str], ...]]


def own_answer(
    method: str, path: str, *, has_state: bool, checks: dict[str, bool], version: str
) -> OwnAnswer | None:
    """Status, body and headers for a path that is the router's own; None for every other path.

    Raises Refusal for a wrong method.
    """
    if path == "*":
        return 204, b"", _ALLOW
    if path != HEALTH_PATH:
        return None
    if method == "OPTIONS":
        return 204, b"", _ALLOW
    if method not in {"GET", "HEAD"}:
        raise Refusal(
            Code.METHOD_NOT_ALLOWED, "This method is not served", Cause.BAD_METHOD, headers=_ALLOW
        )
    status = "unhealthy" if not has_state else "healthy" if all(checks.values()) else "degraded"
    body = {
        "status": status,
        "service": "router",
        "version": version,
        "checks": checks,
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
    }
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return (200 if has_state else 503), encoded, ()
