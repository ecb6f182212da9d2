"""Plain forwarding: bytes in, bytes out, both ways, both sides."""

from __future__ import annotations

import asyncio
import json

import pytest

from router.response_head import ResponseHead
from tests.integration.router.harness import AppConnection


async def test_a_request_passes_with_its_headers_in_order_and_spelling(rig) -> None:
    router = await rig()
    answer = await router.ask(
        b"GET /api/search?q=%41&x=a/../b HTTP/1.1\r\nHost: api.example.com\r\nX-Odd-CASE:  two  words \r\n"
        b"Accept: */*\r\nX-Odd-CASE: again\r\n\r\n"
    )
    assert answer.body == b"monolith"
    request = router.monolith.requests[0]
    assert request.line == "GET /api/search?q=%41&x=a/../b HTTP/1.1"
    assert request.lines[:4] == [
        "Host: api.example.com",
        "X-Odd-CASE:  two  words ",
        "Accept: */*",
        "X-Odd-CASE: again",
    ]


async def test_an_answer_passes_with_its_headers_in_order_and_spelling(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(
            b"HTTP/1.1 207 Odd Words\r\nX-b: 1\r\nSet-Cookie: a=1\r\nx-A: 2\r\nSet-Cookie: b=2\r\n"
            b"X-Request-Id: given\r\nContent-Length: 2\r\n\r\nhi"
        )

    router = await rig(script)
    client = await router.client()
    await client.send(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = await client.answer()
    assert answer.head == (
        b"HTTP/1.1 207 Odd Words\r\nX-b: 1\r\nSet-Cookie: a=1\r\nx-A: 2\r\nSet-Cookie: b=2\r\n"
        b"X-Request-Id: given\r\nContent-Length: 2\r\n\r\n"
    )
    assert answer.body == b"hi"


async def test_the_percent_decides_the_side_and_nothing_in_the_answer_tells_it(rig) -> None:
    router = await rig()
    first = await router.ask(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n")
    router.flags(percent=100)
    second = await router.ask(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (first.body, second.body) == (b"monolith", b"content")
    names = [[line.partition(":")[0] for line in answer.lines] for answer in (first, second)]
    assert names[0] == names[1]


async def test_a_running_request_stays_where_it_began_when_the_flag_changes(rig) -> None:
    gate = asyncio.Event()

    async def slow(app: AppConnection) -> None:
        await app.request()
        await gate.wait()
        await app.answer(b"old side")

    router = await rig(slow)
    client = await router.client()
    await client.send(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n")
    await router.until(lambda: bool(router.monolith.requests))
    router.flags(percent=100)
    gate.set()
    assert (await client.answer()).body == b"old side"
    assert (await client.ask(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n")).body == b"content"


async def test_an_unknown_path_belongs_to_the_monolith(rig) -> None:
    router = await rig(percent=100)
    assert (await router.ask(b"GET /anything/else HTTP/1.1\r\nHost: a\r\n\r\n")).body == b"monolith"
    rows = {(row.route, row.side): row.requests for row in router.plane.metrics.sides}
    assert rows["unmatched", "monolith"] == 1


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_bodies_of_any_size_and_framing_pass_both_ways(rig, size: int, framing: str) -> None:
    async def echo(app: AppConnection) -> None:
        while True:
            request = await app.request()
            if framing == "length":
                await app.answer(request.body)
                continue
            await app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(request.body), 50_000):
                part = request.body[start : start + 50_000]
                await app.send(b"%x;ext=1\r\n%b\r\n" % (len(part), part))
            await app.send(b"0\r\nTrailer-Line: x\r\n\r\n")

    router = await rig(echo)
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    client = await router.client()
    for _ in range(2):
        if framing == "length":
            data = b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (
                size,
                body,
            )
        else:
            data = b"POST /api/write HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            for start in range(0, size, 70_000):
                part = body[start : start + 70_000]
                data += b"%X\r\n%b\r\n" % (len(part), part)
            data += b"0\r\n\r\n"
        client.writer.write(data)
        assert (await client.answer()).body == body
    assert router.monolith.connections == 1


async def test_requests_in_a_row_share_one_connection_on_both_sides(rig) -> None:
    router = await rig()
    client = await router.client()
    for _ in range(20):
        assert (await client.ask(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200
    assert router.monolith.connections == 1
    assert len(router.monolith.requests) == 20


async def test_the_router_answers_health_for_itself(rig) -> None:
    router = await rig()
    answer = await router.ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    body = json.loads(answer.body)
    assert (body["service"], body["status"]) == ("router", "healthy")
    assert not router.monolith.requests
    head = await (await router.client()).ask(b"OPTIONS /health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (head.status, head.values("allow")) == (204, ["GET, HEAD, OPTIONS"])
    wrong = await router.ask(b"POST /health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (wrong.status, json.loads(wrong.body)["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("path", ["metrics", "healthz", "readyz", "state", "stats", "instances"])
async def test_the_public_port_has_no_admin_routes(rig, path: str) -> None:
    router = await rig()
    answer = await router.ask(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
    assert answer.body == b"monolith"


async def test_without_a_control_state_the_answer_is_503_never_a_guess(rig) -> None:
    router = await rig(has_state=False)
    answer = await router.ask(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n")
    body = json.loads(answer.body)
    assert answer.status == 503
    assert body["error"]["code"] == "UNAVAILABLE"
    assert body["error"]["request_id"] == answer.values("x-request-id")[0]
    assert body["detail"] == body["error"]["message"]
    assert answer.values("retry-after") == ["1"]
    assert not router.monolith.requests
    assert (await router.ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")).status == 503


class Recorder:
    """A tap that keeps everything."""

    def __init__(self) -> None:
        self.request = b""
        self.status = 0
        self.response = b""
        self.is_finished = False

    def request_body(self, data: bytes) -> None:
        self.request += data

    def response_head(self, head: ResponseHead) -> None:
        self.status = head.status

    def response_body(self, data: bytes) -> None:
        self.response += data

    def finished(self) -> None:
        self.is_finished = True


async def test_a_tap_hears_one_exchange_without_changing_it(rig) -> None:
    router = await rig()
    taps: list[Recorder] = []

    def tap_for(_exchange: object) -> Recorder:
        taps.append(Recorder())
        return taps[-1]

    router.plane.dispatcher._tap_for = tap_for
    client = await router.client()
    await client.send(b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
    await client.send(b"56789")
    assert (await client.answer()).body == b"monolith"
    (tap,) = taps
    assert (tap.request, tap.status, tap.response) == (b"0123456789", 200, b"monolith")
    assert tap.is_finished


async def test_request_ids_are_kept_when_well_formed_and_made_when_not(rig) -> None:
    router = await rig()
    for given, kept in (
        (b"abc-1.2_3", True),
        (b"x" * 64, True),
        (b"x" * 65, False),
        (b"a b", False),
    ):
        await router.ask(b"GET /api/search HTTP/1.1\r\nHost: a\r\nX-Request-Id: %b\r\n\r\n" % given)
        found = router.monolith.requests[-1].values("x-request-id")
        assert len(found) == 1
        assert (found[0] == given.decode()) is kept


async def test_trace_context_passes_when_well_formed_and_is_made_when_not(rig) -> None:
    router = await rig()
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for given in (good, "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "garbage"):
        await router.ask(
            b"GET /api/search HTTP/1.1\r\nHost: a\r\ntraceparent: %b\r\n\r\n" % given.encode()
        )
        found = router.monolith.requests[-1].values("traceparent")
        assert len(found) == 1
        assert (found[0] == given) is (given == good)


async def test_a_defect_of_the_router_is_a_500_and_not_a_dead_connection(rig) -> None:
    router = await rig()

    def broken(_exchange: object) -> None:
        raise ZeroDivisionError

    router.plane.dispatcher._tap_for = broken
    answer = await router.ask(b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert router.causes() == {"internal": 1}
    assert "ZeroDivision" not in answer.body.decode()
