"""The Range header: one range of bytes (RFC 9110, 14.2); pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """First and last byte, both included."""

    first: int
    last: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.first}-{self.last}/{size}"


class UnsatisfiableError(ValueError):
    """The range lies outside of the file: 416."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """None if the whole file is to be sent: no header, another unit, or several ranges."""
    if header is None:
        return None
    match = RANGE.fullmatch(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first_text, last_text = match.groups()
    if first_text == "":
        length = int(last_text)
        if length == 0 or size == 0:
            raise UnsatisfiableError
        return ByteRange(max(size - length, 0), size - 1)
    first = int(first_text)
    if last_text and int(last_text) < first:
        return None
    if first >= size:
        raise UnsatisfiableError
    return ByteRange(first, min(int(last_text), size - 1) if last_text else size - 1)
