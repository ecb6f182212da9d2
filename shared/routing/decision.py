"""Which side answers a request: override, lists, percent; pure, the same in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.control.model import ControlState, Flag
from shared.routing.routes import RouteSpec
from shared.routing.sticky import StickyKey

#: A percent has steps of 0.01, so keys fall into 100 x 100 buckets.
BUCKETS: Final = 10_000

MONOLITH: Final = "monolith"
SERVICE: Final = "service"


@dataclass(frozen=True, slots=True)
class Decision:
    """The side of one request, the reason from one closed set, and the numbers behind it."""

    side: str
    reason: str
    bucket: int | None = None
    threshold: int | None = None


#: Every reason that a decision can have, with the sentence that explains it.
REASONS: Mapping[str, str] = {
    "override": "a signed override names the side",
    "pinned": "the route writes and the service alone owns its tables",
    "denied": "the key is on the deny list of the flag",
    "allowed": "the key is on the allow list of the flag",
    "percent": "the bucket of the key is compared with the percent",
    "percent_none": "the percent is 0",
    "percent_all": "the percent is 100",
    "no_flag": "the control store has no flag for the route",
    "not_configured": "no address is configured for the service",
    "fallback": "the decided side failed before it got anything, and the other side may answer",
    "ejected": "the decided side is ejected, and the other side may answer",
    "unmatched": "no route of the manifest fits, so the monolith owns it",
}

_UNMATCHED: Final = Decision(MONOLITH, "unmatched")
_NO_FLAG: Final = Decision(MONOLITH, "no_flag")
_NOT_CONFIGURED: Final = Decision(MONOLITH, "not_configured")
_ALL: Final = Decision(SERVICE, "percent_all")
_NONE: Final = Decision(MONOLITH, "percent_none")
_PINNED: Final = Decision(SERVICE, "pinned")
_DENIED: Final = Decision(MONOLITH, "denied")
_ALLOWED: Final = Decision(SERVICE, "allowed")


def bucket_of(salt: str, key: str) -> int:
    """The bucket of a key under a salt, 0 to 9,999: evenly spread and the same in every process."""
    digest = hashlib.blake2b(f"{salt}\0{key}".encode("utf-8", "surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") % BUCKETS


def threshold_of(percent: float) -> int:
    """Buckets below this number go to the service."""
    return max(0, min(BUCKETS, round(percent * (BUCKETS / 100.0))))


def needs_key(flag: Flag) -> bool:
    """Whether the decision depends on the sticky key at all."""
    return bool(flag.allow) or bool(flag.deny) or 0.0 < flag.percent < 100.0


def decide(
    flag: Flag | None,
    key: StickyKey | None,
    *,
    override: str | None = None,
    is_pinned: bool = False,
    is_configured: bool = True,
) -> Decision:
    """The side of a request. `key` may be None only when `needs_key` is False.

    A pinned route writes to tables that the service alone owns: nothing sends it to the monolith.
    """
    if is_pinned:
        return _PINNED
    if not is_configured:
        return _NOT_CONFIGURED
    if override is not None:
        return Decision(override, "override")
    if flag is None:
        return _NO_FLAG
    if key is not None:
        if key.value in flag.deny:
            return _DENIED
        if key.value in flag.allow:
            return _ALLOWED
    if flag.percent >= 100.0:
        return _ALL
    if flag.percent <= 0.0 or key is None:
        return _NONE
    bucket = bucket_of(flag.salt, key.value)
    threshold = threshold_of(flag.percent)
    return Decision(SERVICE if bucket < threshold else MONOLITH, "percent", bucket, threshold)


def decide_route(
    route: RouteSpec | None,
    state: ControlState,
    key: StickyKey | None,
    *,
    override: str | None = None,
    configured: frozenset[str],
) -> Decision:
    """The side of a request to a route (None: unmatched) under a whole control state."""
    if route is None:
        return _UNMATCHED
    return decide(
        state.flags.get(route.name),
        key,
        override=override,
        is_pinned=state.is_pinned(route.name),
        is_configured=route.service in configured,
    )
