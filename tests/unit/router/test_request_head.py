"""Request heads against an independent parser: never a crash, never a disagreement about the end."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.failure import Refusal
from router.header_block import HeaderBlocks
from router.request_head import RequestHead, read_request_head

methods = st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
targets = st.sampled_from([b"/", b"/a/b?c=d", b"/a;b", b"/%41", b"*", b"http://h/p", b"/a?b=%20;"])
names = st.sampled_from(
    [
        b"Content-Length", b"Transfer-Encoding", b"Host", b"Connection", b"Expect", b"Upgrade",
        b"X-A", b"x_b", b"Cookie", b"TE", b"Content-Type", b"Keep-Alive",
    ]
)  # fmt: skip
values = st.one_of(
    st.sampled_from(
        [
            b"0", b"5", b"05", b"5, 5", b"chunked", b"Chunked", b"gzip, chunked", b"identity", b"a",
            b"close", b"keep-alive", b"upgrade", b"websocket", b"100-continue", b"", b"a\tb",
        ]
    ),
    st.binary(max_size=6),
)  # fmt: skip
separators = st.sampled_from([b": ", b":", b":\t", b" : ", b":  "])
endings = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n "])
field = st.builds(lambda *parts: b"".join(parts), names, separators, values, endings)
heads = st.builds(
    lambda method, target, version, fields: (
        method + b" " + target + b" " + version + b"\r\nHost: a\r\n" + b"".join(fields) + b"\r\n"
    ),
    methods,
    targets,
    st.sampled_from([b"HTTP/1.1"] * 5 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0"]),
    st.lists(field, max_size=5),
)


def ours(raw: bytes, blocks: HeaderBlocks | None = None) -> RequestHead | None:
    end = raw.find(b"\r\n")
    if end < 0 or not raw.endswith(b"\r\n\r\n"):
        return None
    try:
        head = read_request_head(raw, end, blocks or HeaderBlocks(is_trusted=False), "127.0.0.1")
    except Refusal:
        return None
    return head if head.refusal is None else None


def theirs(raw: bytes) -> h11.Request | None:
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(raw)
    try:
        event = peer.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def agrees(raw: bytes) -> None:
    """What we accept, an independent parser accepts with the same method and the same framing."""
    mine = ours(raw)
    if mine is None:
        return
    other = theirs(raw)
    assert other is not None, raw
    assert other.method.decode() == mine.method
    fields = dict(other.headers)
    assert (fields.get(b"transfer-encoding") is not None) is mine.is_chunked
    length = fields.get(b"content-length")
    assert (
        int(length) if length is not None and not mine.is_chunked else -1
    ) == mine.content_length
    assert (other.http_version == b"1.0") is mine.is_http_1_0
    sent = mine.block.lines.lower()
    for name in (b"connection", b"transfer-encoding", b"content-length", b"host", b"upgrade"):
        assert b"\r\n" + name + b":" not in sent
    assert sent.count(b"\n") == sent.count(b"\r\n") == sent.count(b"\r")


def end(raw: bytes) -> bytes:
    """Cut behind the first empty line, as the connection does."""
    at = raw.find(b"\r\n\r\n")
    return raw if at < 0 else raw[: at + 4]


@settings(max_examples=500, deadline=None)
@given(heads)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n")
@example(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x0b: chunked\r\n\r\n")
def test_heads_of_every_shape(raw: bytes) -> None:
    agrees(end(raw))


@settings(max_examples=500, deadline=None)
@given(
    heads,
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=2), st.integers(0, 2)), max_size=4),
)
def test_damaged_heads(raw: bytes, damage: list[tuple[int, bytes, int]]) -> None:
    for position, insert, drop in damage:
        at = position % (len(raw) + 1)
        raw = raw[:at] + insert + raw[at + drop :]
    agrees(end(raw + b"\r\n\r\n"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_crash(raw: bytes) -> None:
    agrees(end(raw + b"\r\n\r\n"))


@pytest.mark.parametrize(
    "line",
    [b"Content-Length: 7", b"Content-Length:7", b"content-length: 7  ", b"CONTENT-LENGTH:\t7"],
)
def test_ordinary_spellings_are_understood(line: bytes) -> None:
    head = ours(b"POST /a HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
    assert head is not None
    assert head.content_length == 7
    assert head.has_body


def test_a_head_says_whether_its_connection_stays() -> None:
    def keeps(version: bytes, line: bytes) -> bool:
        head = ours(b"GET / " + version + b"\r\nHost: a\r\n" + line + b"\r\n")
        assert head is not None
        return head.keeps_alive

    assert keeps(b"HTTP/1.1", b"")
    assert not keeps(b"HTTP/1.1", b"Connection: Close\r\n")
    assert not keeps(b"HTTP/1.1", b"Connection: a\r\nConnection: close\r\n")
    assert not keeps(b"HTTP/1.0", b"")
    assert keeps(b"HTTP/1.0", b"Connection: Keep-Alive\r\n")


REMEMBERING = HeaderBlocks(is_trusted=False)


@settings(max_examples=500, deadline=None)
@given(
    heads,
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=2), st.integers(0, 2)), max_size=2),
)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", [])
@example(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", [])
@example(
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", []
)
def test_lines_that_were_read_before_mean_the_same_as_new_ones(
    raw: bytes, damage: list[tuple[int, bytes, int]]
) -> None:
    for position, insert, drop in damage:
        at = position % (len(raw) + 1)
        raw = raw[:at] + insert + raw[at + drop :]
    raw = end(raw + b"\r\n\r\n")
    fresh = ours(raw)
    for _ in range(3):  # new lines, known lines, a known block
        again = ours(raw, REMEMBERING)
        assert (again is None) is (fresh is None), raw
        if again is not None and fresh is not None:
            assert again.fields == fresh.fields
            assert again.block.lines == fresh.block.lines
            assert (again.content_length, again.is_chunked) == (
                fresh.content_length,
                fresh.is_chunked,
            )
            assert (again.host_name, again.block.options) == (fresh.host_name, fresh.block.options)
