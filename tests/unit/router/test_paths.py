"""The canonical path: one string for matching and forwarding."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.routing.paths import PathRefusedError, canonical_path, query_is_clean


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/search",
        "/api/images/5b1c/content",
        "/a.b/c~d_e-f",
        "/a;b=c",
        "/caf%C3%A9",
        "/a%20b",
    ],
)
def test_a_canonical_path_passes_byte_for_byte(path: str) -> None:
    assert canonical_path(path.encode()) == path


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"/api/%73earch", "/api/search"),
        (b"/%61%70%69/x", "/api/x"),
        (b"/a%c3%a9", "/a%C3%A9"),
        (b"/a%7eb", "/a~b"),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/a/...", "/a/..."),
        (b"/a%253Fb", "/a%253Fb"),
    ],
)
def test_escapes_of_unreserved_characters_are_undone(raw: bytes, canonical: str) -> None:
    assert canonical_path(raw) == canonical


@pytest.mark.parametrize(
    "raw",
    [
        b"/a/../b", b"/a/..", b"/./a", b"/a/.", b"/a/%2e%2E/b", b"/a/.%2e/b", b"/a/..;x/b",
        b"/a/..%3Bx/b", b"/a/.;/b", b"/a%2Fb", b"/a%2fb", b"/a%5Cb", b"/a\\b", b"/a#b", b"/a%00",
        b"/a%0d%0aX", b"/a%", b"/a%4", b"/a%zz", b"/caf\xc3\xa9", b"a/b", b"", b"/a b", b"/a%7F",
    ],
)  # fmt: skip
def test_an_ambiguous_path_is_refused_with_400(raw: bytes) -> None:
    with pytest.raises(PathRefusedError) as caught:
        canonical_path(raw)
    assert caught.value.status == 400


@pytest.mark.parametrize("raw", [b"//", b"/api//search", b"//api", b"/api/search//"])
def test_an_empty_segment_is_not_found(raw: bytes) -> None:
    with pytest.raises(PathRefusedError) as caught:
        canonical_path(raw)
    assert caught.value.status == 404


@settings(deadline=None)
@given(st.binary(max_size=40).map(lambda tail: b"/" + tail))
def test_a_canonical_path_is_a_fixed_point_without_dot_segments(raw: bytes) -> None:
    try:
        path = canonical_path(raw)
    except PathRefusedError:
        return
    assert canonical_path(path.encode("ascii")) == path
    assert re.fullmatch(r"[!-~]+", path)
    segments = path.split("/")
    assert segments[0] == ""
    assert not {".", ".."} & set(segments)
    assert "" not in segments[1:-1]


def test_a_query_may_hold_what_browsers_send_but_no_spaces_controls_or_fragments() -> None:
    assert query_is_clean(b'q=a%20b&x[]=1|2&y={"a":1}&p=/../x')
    assert not query_is_clean(b"q=a b")
    assert not query_is_clean(b"q=a#b")
    assert not query_is_clean(b"q=\x00")
    assert not query_is_clean(b"q=\xc3\xa9")
