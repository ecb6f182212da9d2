"""What happens to a message whose handler failed: wait, or park with the reason; pure.

Attempts are counted in a header of our own. `x-death` is not used: RabbitMQ 4 ignores it on
messages that a client publishes again, and `x-delivery-count` counts different things on 3.10
and 4.x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.events.envelope import timestamp

#: Failed runs of the handler so far.
ATTEMPT = "strangler-attempt"
#: Times that a message went waiting without a run, because its breaker was open.
DEFERRALS = "strangler-deferrals"
#: Times without a run after which an open breaker counts as a failed attempt.
MAX_DEFERRALS = 100
#: The queue that a message was taken from.
QUEUE = "strangler-queue"
REASON = "strangler-reason"
ERROR_TYPE = "strangler-error-type"
ERROR = "strangler-error"
FIRST_FAILED_AT = "strangler-first-failed-at"
PARKED_AT = "strangler-parked-at"
#: Every header that replaying takes away again.
OWN_HEADERS = frozenset(
    {ATTEMPT, DEFERRALS, QUEUE, REASON, ERROR_TYPE, ERROR, FIRST_FAILED_AT, PARKED_AT}
)
#: Characters of an error's text that are kept: enough to see what it is, too short for a payload.
MAX_ERROR_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Wait:
    """Come back after so long."""

    seconds: float
    headers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Park:
    """Give up until a person looks."""

    reason: str  # failed | unreadable | version
    headers: Mapping[str, Any]


def after_failure(
    headers: Mapping[str, Any],
    error: BaseException,
    *,
    ladder: Sequence[float],
    queue: str,
    now: datetime,
) -> Wait | Park:
    """The next step of a message whose handler raised `error`; one run per rung, then parking."""
    attempt = count(headers, ATTEMPT) + 1
    described = {
        **_carried(headers),
        ATTEMPT: attempt,
        QUEUE: queue,
        **describe(error),
        FIRST_FAILED_AT: headers.get(FIRST_FAILED_AT) or timestamp(now),
    }
    if attempt <= len(ladder):
        return Wait(ladder[attempt - 1], described)
    return parked(described, "failed", queue=queue, now=now)


def after_deferral(
    headers: Mapping[str, Any],
    pause_seconds: float,
    error: BaseException,
    *,
    ladder: Sequence[float],
    queue: str,
    now: datetime,
) -> Wait | Park:
    """The next step of a message that came while its breaker was open; usually costs no attempt."""
    deferrals = count(headers, DEFERRALS) + 1
    if deferrals > MAX_DEFERRALS or not ladder:
        reset = {name: value for name, value in headers.items() if name != DEFERRALS}
        return after_failure(reset, error, ladder=ladder, queue=queue, now=now)
    rungs = [seconds for seconds in ladder if seconds >= pause_seconds]
    return Wait(
        min(rungs, default=max(ladder)), {**_carried(headers), DEFERRALS: deferrals, QUEUE: queue}
    )


def parked(
    headers: Mapping[str, Any],
    reason: str,
    *,
    queue: str,
    now: datetime,
    error: BaseException | None = None,
) -> Park:
    """Parking with the reason, for what can never work: unreadable, or a version from the future."""
    described = describe(error) if error is not None else {}
    return Park(
        reason,
        {**_carried(headers), **described, REASON: reason, QUEUE: queue, PARKED_AT: timestamp(now)},
    )


def describe(error: BaseException) -> dict[str, str]:
    """Headers that name an error; its text is cut, for it may quote data."""
    return {
        ERROR_TYPE: type(error).__name__,
        ERROR: str(error)[:MAX_ERROR_CHARACTERS],
    }


def count(headers: Mapping[str, Any], name: str) -> int:
    """A counter from headers that anybody may have written."""
    value = headers.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _carried(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers without the broker's own, which mean nothing on a message that is published again."""
    return {name: value for name, value in headers.items() if not name.startswith("x-")}


def fresh(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers for a message that starts again from the beginning."""
    return {name: value for name, value in _carried(headers).items() if name not in OWN_HEADERS}
