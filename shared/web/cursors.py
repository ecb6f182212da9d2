"""Pages and cursors of lists (contract, 1.8); the format is frozen, so cursors work in every app."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Query

from shared.contract.values import Integer
from shared.errors import CallerError, Code
from shared.web.replies import microseconds

_VERSION = "v1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_ID = "-"

Limit = Annotated[Integer, Query(ge=1, le=100)]
SortValue = datetime | int | float | str
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in an ordered list: the sort value and id of the last item that was given out."""

    sort_value: str
    id: str

    def encode(self) -> str:
        text = f"{_VERSION}|{self.sort_value}|{self.id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def of(cls, sort_value: SortValue, row_id: UUID | None) -> Cursor:
        """The cursor after an item. Timestamps in microseconds, integers in decimal, floats by repr."""
        return cls(_sort_text(sort_value), NO_ID if row_id is None else str(row_id))

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read what encode wrote; 400 on anything else."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
            version, sort_value, row_id = raw.split("|")
        except (ValueError, binascii.Error) as error:
            raise _broken() from error
        if version != _VERSION:
            raise _broken()
        return cls(sort_value, row_id)

    def moment(self) -> datetime:
        """The sort value as a timestamp; 400 if it is none."""
        try:
            return _EPOCH + timedelta(microseconds=self.integer())
        except OverflowError as error:
            raise _broken() from error

    def integer(self) -> int:
        """The sort value as an integer that fits PostgreSQL's bigint; 400 if it does not."""
        text = self.sort_value
        if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdecimal():
            raise _broken()
        value = int(text) if len(text) <= 20 else 2**63
        if not -(2**63) <= value < 2**63:
            raise _broken()
        return value

    def number(self) -> float:
        """The sort value as a finite float; 400 if it is none."""
        try:
            value = float(self.sort_value)
        except ValueError as error:
            raise _broken() from error
        if value != value or value in (float("inf"), float("-inf")):
            raise _broken()
        return value

    def uuid(self) -> UUID:
        """The id; 400 if it is none."""
        try:
            return UUID(self.id)
        except ValueError as error:
            raise _broken() from error


async def cursor_parameter(cursor: Annotated[str | None, Query()] = None) -> Cursor | None:
    """FastAPI dependency for `?cursor=`: `cursor: Annotated[Cursor | None, Depends(cursor_parameter)]`."""
    return Cursor.decode(cursor) if cursor is not None else None


def cut_page(
    rows: Sequence[T], limit: int, place: Callable[[T], Cursor]
) -> tuple[Sequence[T], str | None, bool]:
    """Items, next_cursor and has_more of a page, given up to `limit` + 1 rows in order.

    >>> rows = await fetch(limit + 1)
    >>> items, next_cursor, has_more = cut_page(rows, limit, lambda row: Cursor.of(row.seq, row.id))
    """
    items, has_more = rows[:limit], len(rows) > limit
    return items, place(items[-1]).encode() if has_more else None, has_more


def _sort_text(value: SortValue) -> str:
    if isinstance(value, datetime):
        return str(microseconds(value))
    return repr(value) if isinstance(value, float) else str(value)


def _broken() -> CallerError:
    return CallerError(Code.MALFORMED_REQUEST, "The cursor is not valid")
