"""Cursors, ETags and pages: pure functions whose formats are frozen."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import CallerError, Code
from shared.web.cursors import Cursor, cut_page
from shared.web.replies import etag_matches, microseconds, weak_etag

ROW = UUID("abcdef00-0000-4000-8000-000000000001")
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def test_the_format_is_the_one_of_the_contract() -> None:
    moment = datetime(2025, 1, 31, 12, 0, 0, 123456, UTC)
    cursor = Cursor.of(moment, ROW).encode()
    assert "=" not in cursor
    padded = cursor + "=" * (-len(cursor) % 4)
    assert base64.urlsafe_b64decode(padded).decode() == f"v1|1738324800123456|{ROW}"
    assert Cursor.of(7, None).encode() == "djF8N3wt"
    assert Cursor.of(0.1, ROW).sort_value == "0.1"


@given(moment=MOMENTS, row=st.uuids())
def test_a_timestamp_survives_the_cursor_exactly(moment: datetime, row: UUID) -> None:
    again = Cursor.decode(Cursor.of(moment, row).encode())
    assert (again.moment(), again.uuid()) == (moment, row)


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_the_cursor_exactly(number: float) -> None:
    assert Cursor.decode(Cursor.of(number, None).encode()).number() == number


@given(number=st.integers(-(2**63), 2**63 - 1))
def test_an_integer_survives_the_cursor_exactly(number: int) -> None:
    assert Cursor.decode(Cursor.of(number, None).encode()).integer() == number


@given(text=st.text(max_size=60))
def test_no_text_at_all_makes_decoding_crash(text: str) -> None:
    refusals: list[CallerError] = []
    with suppress_into(refusals):
        cursor = Cursor.decode(text)
        for read in (cursor.moment, cursor.integer, cursor.number, cursor.uuid):
            with suppress_into(refusals):
                read()
    assert all(refusal.code is Code.MALFORMED_REQUEST for refusal in refusals)


@contextmanager
def suppress_into(refusals: list[CallerError]) -> Iterator[None]:
    """Collects refusals; anything else passes and fails the test."""
    try:
        yield
    except CallerError as refusal:
        refusals.append(refusal)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("x", "integer"), ("9" * 30, "integer"), ("9" * 19, "integer"), ("1.5", "integer"),
        ("", "integer"), ("²", "integer"), ("nan", "number"), ("inf", "number"), ("1e999", "number"),
        ("x", "number"), ("9" * 18, "moment"), ("x", "uuid"),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_a_broken_cursor(value: str, read: str) -> None:
    cursor = Cursor(value, value)
    with pytest.raises(CallerError):
        getattr(cursor, read)()


def test_a_page_is_cut_one_row_before_the_next() -> None:
    rows = [1, 2, 3]
    items, cursor, more = cut_page(rows, 2, lambda row: Cursor.of(row, None))
    assert (items, more) == ([1, 2], True)
    assert cursor is not None
    assert Cursor.decode(cursor).integer() == 2
    assert cut_page(rows, 3, lambda row: Cursor.of(row, None)) == ([1, 2, 3], None, False)
    assert cut_page([], 3, lambda row: Cursor.of(row, None)) == ([], None, False)


@given(moment=MOMENTS)
def test_microseconds_are_exact(moment: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds(moment)) == moment


def test_an_etag_is_the_microsecond_of_the_row() -> None:
    assert weak_etag(datetime(1970, 1, 1, 0, 0, 1, 5, UTC)) == 'W/"1000005"'


@pytest.mark.parametrize(
    ("given_", "matches"),
    [
        (None, False), ("", False), ('"1"', True), ('W/"1"', True), ('"2", W/"1"', True), ("*", True),
        ('W/"2"', False), ("1", False), ('"11"', False),
    ],
)  # fmt: skip
def test_if_none_match_is_compared_weakly(given_: str | None, matches: bool) -> None:
    assert etag_matches(given_, 'W/"1"') is matches
