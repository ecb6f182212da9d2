"""Cross-origin headers (public contract, section 1.3); pure."""

from __future__ import annotations

Headers = list[tuple[bytes, bytes]]

_EXPOSED = (
    b"X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, ETag,"
    b" Idempotency-Replayed, X-Remaining-Quota, Content-Disposition"
)
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id,"
        b" X-Client-Version",
    ),
    (b"access-control-max-age", b"600"),
]


def cors_headers(origin: bytes | None, allowed: frozenset[bytes]) -> Headers:
    """What an answer carries: for any origin only that it varies, so that no cache mixes them up."""
    if origin is None or origin not in allowed:
        return [(b"vary", b"Origin")]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]


def preflight_headers(origin: bytes | None, allowed: frozenset[bytes]) -> Headers:
    """What the answer to a preflight carries besides cors_headers."""
    return list(_PREFLIGHT) if origin in allowed else []
