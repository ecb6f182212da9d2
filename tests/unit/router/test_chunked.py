"""The chunked coding against an independent parser, in pieces of every size."""

from __future__ import annotations

import itertools

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.chunked import LAST_CHUNK, ChunkDecoder, ChunkError, encode_chunk

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def ours(raw: bytes, cuts: list[int]) -> tuple[bytes, bytes] | None:
    """Payload and what follows the body; None when it is broken or not whole."""
    decoder = ChunkDecoder()
    payload = b""
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    for start, end in itertools.pairwise(edges):
        if decoder.done:
            return payload, decoder.rest + raw[start:]
        try:
            payload += decoder.feed(raw[start:end])
        except ChunkError:
            return None
    return (payload, decoder.rest) if decoder.done else None


def theirs(raw: bytes) -> tuple[bytes, bytes] | None:
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    peer.receive_data(HEAD + raw)
    payload = b""
    try:
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Data):
                payload += bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                return payload, peer.trailing_data[0]
    except h11.RemoteProtocolError:
        return None


chunk = st.builds(
    lambda data, upper, zeros, extension: (
        b"0" * zeros
        + (b"%X" if upper else b"%x") % len(data)
        + extension
        + b"\r\n"
        + data
        + b"\r\n"
    ),
    st.binary(min_size=1, max_size=40),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([b"", b";a", b";a=b", b';a="b c"', b"; x"]),
)
body = st.builds(
    lambda chunks, trailers, rest: b"".join(chunks) + b"0\r\n" + trailers + b"\r\n" + rest,
    st.lists(chunk, max_size=5),
    st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC:\r\n"]),
    st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n", b"x"]),
)
cuts = st.lists(st.integers(0, 400), max_size=8)


@settings(deadline=None)
@given(body, cuts)
def test_a_valid_body_gives_the_same_payload_and_end_in_pieces_of_every_size(
    raw: bytes, where: list[int]
) -> None:
    expected = theirs(raw)
    assert expected is not None
    assert ours(raw, where) == expected
    assert ours(raw, list(range(len(raw)))) == expected


@settings(max_examples=400, deadline=None)
@given(
    body, st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3), st.integers(0, 3))), cuts
)
@example(b"0\r\n\x01A: b\r\n\r\n", [], [])
@example(b"1\r\nab\r\n0\r\n\r\n", [], [])
@example(b"2\r\nab0\r\n\r\n\r\n", [], [])
@example(b"2\nab\r\n0\r\n\r\n", [], [])
@example(b"2\r\nab\r\n0\r\nA: b\n\r\n\r\n", [], [])
def test_a_damaged_body_never_ends_at_another_place_than_an_independent_parser_says(
    raw: bytes, damage: list[tuple[int, bytes, int]], where: list[int]
) -> None:
    for position, insert, drop in damage:
        at = position % (len(raw) + 1)
        raw = raw[:at] + insert + raw[at + drop :]
    found = ours(raw, where)
    assert found == ours(raw, list(range(len(raw))))
    if found is not None:
        assert found == theirs(raw)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=100), max_size=6))
def test_what_we_write_is_read_back(parts: list[bytes]) -> None:
    raw = b"".join(encode_chunk(part) for part in parts) + LAST_CHUNK
    assert ours(raw, []) == theirs(raw) == (b"".join(parts), b"")


@pytest.mark.parametrize(
    "raw",
    [
        b"1;" + b"a" * 300,
        b"A" * 14 + b"\r\n",
        b"".join(b"1;" + b"e" * 200 + b"\r\nx\r\n" for _ in range(100)),
        b"0\r\n" + b"A: b\r\n" * 4000 + b"\r\n",
        b"0\r\nA: " + b"b" * 20_000,
    ],
)
def test_framing_cannot_outgrow_the_payload(raw: bytes) -> None:
    decoder = ChunkDecoder()
    with pytest.raises(ChunkError):
        decoder.feed(raw)
