"""Whole connections in pieces of any size: the apps get the very requests that an independent parser finds."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import h11
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.upstreams import UpstreamSettings
from tests.integration.router.harness import AppConnection, Rig, start_rig

Found = list[tuple[str, bytes]]

payload = st.binary(max_size=30)
extensions = st.sampled_from([b"", b";a=b"])


def chunked(parts: list[bytes], extension: bytes, trailer: bytes) -> bytes:
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in parts if p)
    return chunks + b"0\r\n" + trailer + b"\r\n"


request = st.one_of(
    st.just(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n"),
    st.just(b"\r\nGET /api/search?a=b HTTP/1.1\r\nHost: a\r\nX-A: GET / HTTP/1.1\r\n\r\n"),
    st.builds(
        lambda body: (
            b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        ),
        payload,
    ),
    st.builds(
        lambda parts, extension, trailer: (
            b"PUT /api/put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunked(parts, extension, trailer)
        ),
        st.lists(payload, max_size=3),
        extensions,
        st.sampled_from([b"", b"A: b\r\n"]),
    ),
)
streams = st.lists(request, min_size=1, max_size=5).map(b"".join)
cuts = st.lists(st.integers(0, 400), max_size=6)
damages = st.lists(
    st.tuples(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3)),
    min_size=1,
    max_size=3,
)


def theirs(raw: bytes) -> Found:
    """The whole requests of a stream up to its first error, as h11 reads them."""
    found: Found = []
    while True:
        while raw.startswith(b"\r\n"):  # RFC 9112 section 2.2; h11 does not know it
            raw = raw[2:]
        peer = h11.Connection(h11.SERVER)
        peer.receive_data(raw)
        try:
            one = _one_request(peer)
        except h11.RemoteProtocolError:
            one = None
        if one is None:
            return found
        found.append(one)
        if peer.their_state is h11.MUST_CLOSE:
            return found
        raw = peer.trailing_data[0]


def _one_request(peer: h11.Connection) -> tuple[str, bytes] | None:
    method, body = "", b""
    while True:
        event = peer.next_event()
        if isinstance(event, h11.Request):
            method = event.method.decode()
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return method, body
        else:
            return None


async def ours(rig: Rig, seen: Found, raw: bytes, where: list[int]) -> Found:
    """The whole requests that reached the apps."""
    seen.clear()
    client = await rig.client()
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in where), len(raw)]
    with contextlib.suppress(OSError, RuntimeError):  # the router may have closed already
        for start, end in itertools.pairwise(edges):
            client.writer.write(raw[start:end])
            await asyncio.sleep(0.001 if where else 0)
        client.writer.write_eof()
        await client.read_to_end()
    client.close()
    rig.clients.clear()
    await rig.until(lambda: not rig.plane.dispatcher.clients)
    await rig.settled()
    return list(seen)


class Lab:
    """A router with two apps that note what reaches them; one for all examples of a test."""

    def __init__(self, *, closes: bool = False) -> None:
        self.seen: Found = []
        self._headers = b"Connection: close\r\n" if closes else b""
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        quiet = UpstreamSettings(has_health_checks=False)  # their requests are nobody's
        self._rig = start_rig(self._app, self._app, upstream=quiet)

    async def _app(self, app: AppConnection) -> None:
        while True:
            got = await app.request()
            self.seen.append((got.line.split()[0], got.body))
            await app.answer(headers=self._headers)
            if self._headers:
                return

    def __enter__(self) -> Lab:
        self._runner.__enter__()
        self.rig = self._runner.run(self._rig.__aenter__())
        return self

    def ask(self, raw: bytes, where: list[int]) -> Found:
        found = self._runner.run(ours(self.rig, self.seen, raw, where))
        if self._headers:  # nothing of this stream may reach an app while the next one is looked at
            apps = (self.rig.monolith, self.rig.content)
            self._runner.run(self.rig.until(lambda: not any(app.open for app in apps)))
        return found

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._rig.__aexit__(None, None, None))
        self._runner.close()


def is_within(part: Found, whole: Found) -> bool:
    """Whether `part` is `whole` with some left out, in the same order."""
    rest = iter(whole)
    return all(item in rest for item in part)


def test_a_good_stream_reaches_the_apps_request_by_request() -> None:
    with Lab() as lab:

        @settings(max_examples=120, deadline=None, database=None)
        @given(streams, cuts)
        def check(raw: bytes, where: list[int]) -> None:
            assert lab.ask(raw, where) == theirs(raw)

        check()


def test_a_damaged_stream_never_brings_an_app_a_request_that_nobody_else_finds() -> None:
    with Lab(closes=True) as lab:

        @settings(max_examples=150, deadline=None, database=None)
        @given(streams, damages, cuts)
        @example(b"GET /\0api/search HTTP/1.1\r\nHost: a\r\n\r\n" * 2, [], [])
        @example(b"GET /\xe7 HTTP/1.1\r\nHost: a\r\n\r\n" * 2, [], [])
        @example(b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" * 2, [], [])
        def check(raw: bytes, damage: list[tuple[int, bytes, int]], where: list[int]) -> None:
            for position, insert, drop in damage:
                at = position % (len(raw) + 1)
                raw = raw[:at] + insert + raw[at + drop :]
            found = lab.ask(raw, where)
            assert is_within(found, theirs(raw)), (raw, found)

        check()
