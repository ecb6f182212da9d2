"""Rate-limit buckets and fixed windows (public contract, section 1.10); pure, knows no Redis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

WINDOW_SECONDS = 60  # fixed windows aligned to the UTC minute (contract, 1.10)

Bucket = Literal["default", "generate", "public", "sensitive", "none"]
Per = Literal["user", "address"]

#: Whom a bucket counts.
COUNTED_PER: Mapping[str, Per] = MappingProxyType(
    {"default": "user", "generate": "user", "public": "address", "sensitive": "address"}
)

#: Requests per window in production (contract, 1.10).
PRODUCTION_LIMITS: Mapping[str, int] = MappingProxyType(
    {"default": 100, "generate": 20, "public": 120, "sensitive": 10}
)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests per window by bucket; `enabled=False` counts nothing and sends no headers."""

    limits: Mapping[str, int] = field(default_factory=lambda: dict(PRODUCTION_LIMITS))
    enabled: bool = True

    def of(self, bucket: str) -> int | None:
        """The limit of a bucket; None when it is not limited."""
        return self.limits.get(bucket) if self.enabled else None


def parse_rate_limits(text: str) -> RateLimits:
    """`off`, or overrides like `default=100,generate=20`; ValueError says what is wrong."""
    if text.strip().lower() == "off":
        return RateLimits(enabled=False)
    limits = dict(PRODUCTION_LIMITS)
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        bucket, _, number = part.partition("=")
        if bucket.strip() not in PRODUCTION_LIMITS:
            known = ", ".join(PRODUCTION_LIMITS)
            raise ValueError(f"no bucket {bucket.strip()!r}; buckets are {known}, or `off`")
        if not number.strip().isdecimal() or int(number) < 1:
            raise ValueError(f"{bucket.strip()} needs a whole number of at least 1")
        limits[bucket.strip()] = int(number)
    return RateLimits(limits)


@dataclass(frozen=True, slots=True)
class Window:
    """One counting window; `start` and `end` are unix seconds."""

    start: int

    @property
    def end(self) -> int:
        return self.start + WINDOW_SECONDS

    @classmethod
    def at(cls, now: float) -> Window:
        return cls(int(now) // WINDOW_SECONDS * WINDOW_SECONDS)


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one counted request."""

    bucket: str
    limit: int
    count: int  # requests in the window, this one included
    reset: int  # unix second the window ends
    now: float

    @property
    def is_allowed(self) -> bool:
        return self.count <= self.limit

    @property
    def remaining(self) -> int:
        return max(self.limit - self.count, 0)

    @property
    def retry_after(self) -> int:
        """Whole seconds until the window ends, at least 1."""
        return max(math.ceil(self.reset - self.now), 1)

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"x-ratelimit-limit", b"%d" % self.limit),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % self.reset),
        ]


def counter_key(bucket: str, subject: str, window: Window) -> str:
    """`rl:<bucket>:<subject>:<window start>`: frozen, so that all apps count together."""
    return f"rl:{bucket}:{subject}:{window.start}"
