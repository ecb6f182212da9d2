"""What follows a failed attempt: the same app again, the other side, or a refusal; pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from router.failure import Cause

#: Attempts of one request in all, the first included.
MAX_ATTEMPTS: Final = 3
#: Retries under way may be this share of the requests under way, but always MIN_RETRIES (Envoy's budget).
BUDGET_SHARE: Final = 0.2
MIN_RETRIES: Final = 3

#: Nothing of the request has reached an app.
_NOTHING_SENT: Final = frozenset({Cause.CONNECT_FAILED, Cause.CONNECT_TIMEOUT, Cause.POOL_FULL})
#: The app may have done the work, so only an idempotent request is repeated.
_MAYBE_DONE: Final = frozenset({Cause.UPSTREAM_RESET, Cause.UPSTREAM_GARBAGE})


class Step(Enum):
    """What to do next."""

    SAME_APP = "same_app"
    OTHER_SIDE = "other_side"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """Everything that the choice depends on.

    `attempts` counts the failed one. `can_replay`: every byte of the request is still there.
    `is_idempotent`: sending twice has the effect of sending once (RFC 9110 section 9.2.2, or the
    manifest says so). `has_other_side`: the manifest and the placement allow the other side, and it is
    not ejected.
    """

    cause: Cause
    attempts: int
    used_kept_connection: bool
    can_replay: bool
    is_idempotent: bool
    has_other_side: bool
    within_budget: bool


def next_step(failed: FailedAttempt) -> Step:
    """Retry only what is safe, only within the budget, and never after a byte of an answer."""
    if failed.attempts >= MAX_ATTEMPTS or not failed.can_replay or not failed.within_budget:
        return Step.REFUSE
    if failed.cause in _NOTHING_SENT:
        # The pool has tried every address of the app already.
        return Step.OTHER_SIDE if failed.has_other_side else Step.REFUSE
    if failed.cause not in _MAYBE_DONE or not failed.is_idempotent:
        return Step.REFUSE
    if failed.cause is Cause.UPSTREAM_RESET and failed.used_kept_connection:
        return Step.SAME_APP
    return Step.OTHER_SIDE if failed.has_other_side else Step.REFUSE


class RetryBudget:
    """Counts retries under way, so that failures cannot multiply the load."""

    __slots__ = ("active",)

    def __init__(self) -> None:
        self.active = 0

    def has_room(self, requests: int) -> bool:
        """Whether one more retry may start beside `requests` requests under way."""
        return self.active < max(MIN_RETRIES, BUDGET_SHARE * requests)
