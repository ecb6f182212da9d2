"""Lists in pages: the cursor text that every app understands and the cut of one page; no SQL."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import Field

from monolith.errors import malformed
from monolith.values import EPOCH, UUID_TEXT, Integer, Wire, microseconds

NO_ID = "-"
INTEGER_MAX = 2**63 - 1
T = TypeVar("T")


class PageQuery(Wire):
    """`?limit=` and `?cursor=` of every list."""

    limit: Annotated[Integer, Field(ge=1, le=100)] = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place after which a page starts: sort value as text, id or `-`."""

    sort: str
    identity: str

    def encode(self) -> str:
        raw = f"v1|{self.sort}|{self.identity}".encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def timestamp(self) -> datetime:
        try:
            return EPOCH + timedelta(microseconds=self.integer())
        except OverflowError as error:
            raise broken_cursor() from error

    def integer(self) -> int:
        digits = self.sort.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
            raise broken_cursor()
        number = int(self.sort)
        if abs(number) > INTEGER_MAX:
            raise broken_cursor()
        return number

    def decimal(self) -> float:
        try:
            number = float(self.sort)
        except ValueError as error:
            raise broken_cursor() from error
        if not math.isfinite(number):
            raise broken_cursor()
        return number

    def uuid(self) -> UUID:
        if UUID_TEXT.fullmatch(self.identity) is None:
            raise broken_cursor()
        return UUID(self.identity)

    def expect_no_id(self) -> None:
        if self.identity != NO_ID:
            raise broken_cursor()


def broken_cursor() -> Exception:
    return malformed("The cursor cannot be read; start again without it")


def decode_cursor(text: str | None) -> Cursor | None:
    """The inverse of Cursor.encode; raises MALFORMED_REQUEST for anything else."""
    if text is None:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (UnicodeError, binascii.Error, ValueError) as error:
        raise broken_cursor() from error
    parts = raw.split("|")
    if len(parts) != 3 or parts[0] != "v1" or not parts[1] or not parts[2]:
        raise broken_cursor()
    return Cursor(parts[1], parts[2])


def time_sort(moment: datetime) -> str:
    return str(microseconds(moment))


def number_sort(number: float) -> str:
    return repr(number)


@dataclass(frozen=True, slots=True)
class Cut:
    """What follows a page: the cursor of its last item, if there is more."""

    next_cursor: str | None
    has_more: bool


def cut(rows: Sequence[T], limit: int, cursor_of: Callable[[T], Cursor]) -> tuple[list[T], Cut]:
    """Take one page out of at most limit + 1 rows."""
    page = list(rows[:limit])
    more = len(rows) > limit
    following = cursor_of(page[-1]).encode() if more and page else None
    return page, Cut(following, more)
