"""One range of bytes, as RFC 9110 reads it."""

from __future__ import annotations

import pytest

from services.media.ranges import ByteRange, UnsatisfiableRangeError, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=2-4", ByteRange(2, 4)),
        ("bytes=2-", ByteRange(2, 9)),
        ("bytes=2-99", ByteRange(2, 9)),
        ("bytes=-3", ByteRange(7, 9)),
        ("bytes=-99", ByteRange(0, 9)),
        (" Bytes=1-2 ", ByteRange(1, 2)),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("bytes=4-2", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_of_ten_bytes(header: str | None, expected: ByteRange | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=-1", 0)])
def test_a_range_outside_of_the_file_cannot_be_served(header: str, size: int) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, size)


def test_a_part_says_where_it_lies() -> None:
    assert ByteRange(2, 4).of(10) == "bytes 2-4/10"
