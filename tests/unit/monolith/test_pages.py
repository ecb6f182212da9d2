"""Cursors: the frozen text form, and refusal of everything else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monolith.errors import ApiError
from monolith.pages import Cursor, cut, decode_cursor, number_sort, time_sort

ID = "0b8e0ad6-6c1d-4f3a-9f0e-6f2d6a1c7f10"


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def test_a_cursor_is_base64url_of_version_sort_value_and_id() -> None:
    moment = datetime(2025, 1, 31, 12, tzinfo=UTC) + timedelta(microseconds=7)
    text = Cursor(time_sort(moment), ID).encode()
    assert text == encoded(f"v1|1738324800000007|{ID}")
    read = decode_cursor(text)
    assert read is not None
    assert read.timestamp() == moment
    assert str(read.uuid()) == ID


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_decimals_travel_exactly(number: float) -> None:
    read = decode_cursor(Cursor(number_sort(number), "-").encode())
    assert read is not None
    assert read.decimal() == number


@pytest.mark.parametrize(
    "text",
    ["", "!", "é", encoded("v2|1|-"), encoded("v1|1"), encoded("v1||-"), encoded("v1|1|2|3")],
)
def test_a_broken_cursor_is_a_malformed_request(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        decode_cursor(text)
    assert refused.value.code == "MALFORMED_REQUEST"


@pytest.mark.parametrize("sort", ["x", "1.5", "9" * 30, "-", "١"])
def test_a_sort_value_of_another_kind_is_refused(sort: str) -> None:
    with pytest.raises(ApiError):
        Cursor(sort, "-").integer()


@pytest.mark.parametrize("sort", ["nan", "inf", "x"])
def test_a_decimal_that_is_no_number_is_refused(sort: str) -> None:
    with pytest.raises(ApiError):
        Cursor(sort, "-").decimal()


def test_a_time_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ApiError):
        Cursor("9" * 18, "-").timestamp()


def test_a_full_page_names_the_next_one_only_if_there_is_more() -> None:
    page, rest = cut([1, 2, 3], 2, lambda n: Cursor(str(n), "-"))
    assert page == [1, 2]
    assert rest.has_more
    assert rest.next_cursor == Cursor("2", "-").encode()
    page, rest = cut([1, 2], 2, lambda n: Cursor(str(n), "-"))
    assert (page, rest.has_more, rest.next_cursor) == ([1, 2], False, None)
