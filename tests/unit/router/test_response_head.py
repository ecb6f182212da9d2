"""Response heads against two independent parsers: never a crash, never a disagreement about the end."""

from __future__ import annotations

import h11
import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.response_head import BadResponseError, ResponseHead, forget_lines

statuses = st.sampled_from(
    [b"200 OK", b"204 No Content", b"304 Not Modified", b"404", b"503 Unavailable", b"200", b"99 x"]
)
names = st.sampled_from(
    [
        b"Content-Length", b"Transfer-Encoding", b"Connection", b"Content-Type", b"Server",
        b"Set-Cookie", b"Keep-Alive", b"X-A", b"x_b", b"Upgrade", b"Trailer",
    ]
)  # fmt: skip
values = st.one_of(
    st.sampled_from(
        [
            b"0", b"5", b"05", b"5, 5", b"+5", b"chunked", b"Chunked", b"gzip, chunked", b"close",
            b"keep-alive", b"X-A", b"close, X-A", b"Content-Length", b"", b"a\tb",
        ]
    ),
    st.binary(max_size=6),
)  # fmt: skip
field = st.builds(
    lambda *parts: b"".join(parts),
    names,
    st.sampled_from([b": ", b":", b":\t", b" : "]),
    values,
    st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n "]),
)
heads = st.builds(
    lambda version, status, fields: version + b" " + status + b"\r\n" + b"".join(fields) + b"\r\n",
    st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/1.2", b"ICY"]),
    statuses,
    st.lists(field, max_size=5),
)
damages = st.lists(
    st.tuples(st.integers(0, 200), st.binary(max_size=2), st.integers(0, 2)), max_size=3
)


class Verdict:
    """llhttp's reading of a head."""

    is_complete = False

    def on_headers_complete(self) -> None:
        self.is_complete = True


def ours(raw: bytes, method: str = "GET") -> ResponseHead | None:
    try:
        return ResponseHead(raw, method)
    except BadResponseError:
        return None


def llhttp_accepts(raw: bytes) -> bool:
    verdict = Verdict()
    try:
        httptools.HttpResponseParser(verdict).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return False
    return verdict.is_complete


def h11_body(raw: bytes) -> str | None:
    """How h11 finds the end of the body; None when it refuses the head."""
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(raw)
    try:
        event = peer.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Response):
        return None
    fields = dict(event.headers)
    if event.status_code in {204, 304}:
        return "0"
    if b"transfer-encoding" in fields:
        return "chunked"
    length = fields.get(b"content-length")
    return str(int(length)) if length is not None else "close"


def our_body(head: ResponseHead) -> str:
    if head.is_chunked:
        return "chunked"
    return "close" if head.is_delimited_by_close else str(head.body_bytes)


def cut(raw: bytes) -> bytes:
    """Up to the first empty line, as the connection does."""
    raw += b"\r\n\r\n"
    return raw[: raw.find(b"\r\n\r\n") + 4]


@settings(max_examples=600, deadline=None)
@given(heads, damages)
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", [])
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", [])
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", [])
@example(b"HTTP/1.1 200 OK\r\nA: b\n\r\n", [])
def test_what_is_accepted_ends_where_independent_parsers_say(
    raw: bytes, damage: list[tuple[int, bytes, int]]
) -> None:
    for position, insert, drop in damage:
        at = position % (len(raw) + 1)
        raw = raw[:at] + insert + raw[at + drop :]
    raw = cut(raw)
    head = ours(raw)
    if head is None:
        return
    assert llhttp_accepts(raw), raw
    if head.status >= 200:
        assert h11_body(raw) == our_body(head), raw
    passed = head.lines(b"")
    assert passed.count(b"\n") == passed.count(b"\r\n") == passed.count(b"\r")
    for name in (b"connection", b"transfer-encoding", b"server", b"keep-alive", b"upgrade"):
        assert b"\r\n" + name + b":" not in passed.lower().replace(b" :", b":")


@settings(max_examples=400, deadline=None)
@given(heads, damages)
@example(b"HTTP/1.1 200 OK\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\n", [])
def test_lines_that_were_read_before_mean_the_same_as_new_ones(
    raw: bytes, damage: list[tuple[int, bytes, int]]
) -> None:
    for position, insert, drop in damage:
        at = position % (len(raw) + 1)
        raw = raw[:at] + insert + raw[at + drop :]
    raw = cut(raw)
    remembered = ours(raw), ours(raw)
    forget_lines()
    fresh = ours(raw)
    for head in remembered:
        assert (head is None) is (fresh is None), raw
        if head is not None and fresh is not None:
            assert head.lines(b"") == fresh.lines(b"")
            assert head.fields == fresh.fields
            assert (head.closes, our_body(head), head.is_intact) == (
                fresh.closes,
                our_body(fresh),
                fresh.is_intact,
            )


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: +5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b" folded: 1",
        b"no colon",
        b"bad name: 1",
        b"control: \x01",
    ],
)
def test_an_answer_with_two_readings_is_refused_however_often_it_comes(line: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n"
    assert [ours(raw) for _ in range(3)] == [None, None, None]
