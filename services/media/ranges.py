"""The Range header: one range of bytes (RFC 9110, 14.2); pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """First and last byte, both included."""

    first: int
    last: int

    def of(self, size: int) -> str:
        """The Content-Range of this part of `size` bytes."""
        return f"bytes {self.first}-{self.last}/{size}"


class UnsatisfiableRangeError(ValueError):
    """The range lies outside of the file: 416."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """What is asked of `size` bytes. None for the whole: no header, another unit, several ranges.

    Raises UnsatisfiableRangeError.
    """
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        return _suffix(int(last), size) if last else None
    if last and int(last) < int(first):
        return None  # not a range at all (RFC 9110, 14.1.1)
    if int(first) >= size:
        raise UnsatisfiableRangeError
    return ByteRange(int(first), min(int(last), size - 1) if last else size - 1)


def _suffix(length: int, size: int) -> ByteRange:
    """The last `length` bytes."""
    if length == 0 or size == 0:
        raise UnsatisfiableRangeError
    return ByteRange(max(size - length, 0), size - 1)
