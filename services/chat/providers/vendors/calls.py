"""What a vendor is asked and how it may fail; pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a dialogue as vendors take it."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One reply: the system text and the dialogue, which begins and ends with the user."""

    system: str
    lines: tuple[Line, ...]
    output_tokens_max: int = 1024
    priority: int = 0  # the caller's tier; a higher one is first in the queue


class Failure(StrEnum):
    """Why a call failed: what to do next depends on nothing else."""

    TIMEOUT = "timeout"  # no answer, or no first token, in time
    BUSY = "busy"  # our own queue for this vendor is too long
    OVERLOADED = "overloaded"  # 429, 5xx, 529, or the line broke
    REFUSED = "refused"  # 401, 403, 404: the key or the model's name is wrong
    REQUEST = "request"  # 400, 413, 422: another vendor would refuse it, too
    EMPTY = "empty"  # an answer without text


class VendorError(Exception):
    """A call failed. `retry_after_seconds` is what the vendor asked for, if it did."""

    def __init__(self, failure: Failure, reason: str, retry_after_seconds: float | None = None):
        super().__init__(f"{failure}: {reason}")
        self.failure = failure
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class VendorModel(Protocol):
    """A client of one vendor."""

    def stream(self, model: str, call: ModelCall) -> AsyncGenerator[str, None]:
        """Pieces of the reply. Raises VendorError; closing it ends the call."""
        ...


def failure_of_status(status: int) -> Failure:
    """What an HTTP status of a vendor means."""
    if status in (401, 403, 404):
        return Failure.REFUSED
    if status == 408:
        return Failure.TIMEOUT
    if status in (409, 425, 429) or status >= 500:
        return Failure.OVERLOADED
    return Failure.REQUEST


def retry_after_of(text: str | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3); None for a date or none."""
    return float(text) if text and text.isascii() and text.isdecimal() else None
