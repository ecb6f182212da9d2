"""Held routes: requests wait instead of failing, in bounds, and go to the side of the flag afterwards."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from router import hold as hold_module
from shared.control.model import Hold
from tests.integration.router.harness import AppConnection, Client, Rig
from tests.integration.router.test_pitfalls_of_answers import UPGRADE, accept_of

GET = b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n"


def holding(**limits: float) -> Hold:
    return Hold(**{"started_at": time.time()} | limits)  # type: ignore[arg-type]


async def start(router: Rig, data: bytes = GET) -> Client:
    client = await router.client()
    await client.send(data)
    return client


async def test_held_requests_wait_and_go_to_the_new_side(rig) -> None:
    router = await rig()
    router.flags(percent=0, hold=holding())
    post = b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    clients = [await start(router), await start(router, post)]
    await router.until(lambda: len(router.plane.hold_room) == 2)
    counts = router.plane.counts()
    assert counts["held"] == 2
    assert counts["held_by_route"] == {"content.search": 1, "content.write": 1}
    assert not router.monolith.requests
    router.flags(percent=100)
    assert [(await client.answer()).body for client in clients] == [b"content", b"content"]
    assert (
        router.content.requests[1].body == b"hello" or router.content.requests[0].body == b"hello"
    )


async def test_a_hold_without_a_switch_releases_to_the_old_side(rig) -> None:
    router = await rig()
    router.flags(percent=0, hold=holding())
    client = await start(router)
    await router.until(lambda: len(router.plane.hold_room) == 1)
    router.flags(percent=0)
    assert (await client.answer()).body == b"monolith"


async def test_health_and_preflights_are_answered_while_everything_is_held(rig) -> None:
    router = await rig()
    router.flags(hold=holding())
    assert b'"router"' in (await router.ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")).body
    preflight = (
        b"OPTIONS /api/search HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: GET\r\n\r\n"
    )
    assert (await router.ask(preflight)).body == b"monolith"


async def test_each_held_request_expires_on_its_own_with_503_and_retry_after(rig) -> None:
    router = await rig()
    router.flags(hold=holding(request_seconds=0.2))
    answer = await router.ask(GET)
    assert answer.status == 503
    assert answer.values("retry-after") == ["2"]
    assert json.loads(answer.body)["error"]["details"]["scope"] == "content"
    assert router.causes() == {"hold_expired": 1}


async def test_a_hold_ends_by_itself_after_its_total_time(rig) -> None:
    router = await rig()
    router.flags(hold=holding(request_seconds=30, total_seconds=0.3))
    assert (await router.ask(GET)).status == 503
    assert (await router.ask(GET)).body == b"monolith"


async def test_a_hold_is_bounded_in_count(rig) -> None:
    router = await rig()
    router.flags(hold=holding(max_requests=2))
    clients = [await start(router) for _ in range(2)]
    await router.until(lambda: len(router.plane.hold_room) == 2)
    refused = await router.ask(GET)
    assert refused.status == 503
    assert router.causes() == {"hold_full": 1}
    clients[0].reset()
    await router.until(lambda: len(router.plane.hold_room) == 1)
    late = await start(router)
    await router.until(lambda: len(router.plane.hold_room) == 2)
    router.flags()
    assert [(await client.answer()).status for client in (clients[1], late)] == [200, 200]


async def test_a_held_body_is_not_read_and_still_arrives_whole(rig) -> None:
    router = await rig()
    router.flags(hold=holding())
    size = 20_000_000
    client = await start(
        router, b"POST /api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
    )
    sent = 0

    async def upload() -> None:
        nonlocal sent
        while sent < size:
            client.writer.write(b"x" * 100_000)
            await client.writer.drain()
            sent += 100_000

    task = asyncio.create_task(upload())
    await asyncio.sleep(0.2)
    assert sent < size
    assert router.plane.hold_room._bytes() <= 512 * 1024
    router.flags(percent=100)
    await task
    assert (await client.answer()).body == b"content"
    assert len(router.content.requests[0].body) == size


async def test_release_is_spread(rig) -> None:
    router = await rig()
    router.flags(hold=holding())
    clients = [await start(router) for _ in range(35)]
    await router.until(lambda: len(router.plane.hold_room) == 35)
    router.flags()
    assert router.plane.hold_room.released == hold_module.RELEASE_LEAST
    assert [(await client.answer()).status for client in clients] == [200] * 35
    assert router.plane.hold_room.released == 35


STREAM = b"POST /api/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_held_event_stream_hears_comments_and_then_the_apps_events(
    rig,
) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for event in (b"event: start\ndata: {}\n\n", b"event: done\ndata: {}\n\n"):
            await app.send(b"%x\r\n%b\r\n" % (len(event), event))
        await app.send(b"0\r\n\r\n")

    router = await rig(script)
    router.plane.hold_room.first_comment_seconds = 0.05
    router.plane.hold_room.comment_pause_seconds = 0.05
    router.flags(hold=holding())
    client = await start(router, STREAM)
    head = await client.head()
    assert head.status == 200
    assert head.values("content-type") == ["text/event-stream; charset=utf-8"]
    assert await client.read_exactly(28) == b"8\r\n: held\n\n\r\n" * 2 + b"8\r"
    router.flags()
    rest = await client.reader.readuntil(b"0\r\n\r\n")
    assert b"event: start" in rest
    assert rest.index(b"event: start") < rest.index(b"event: done")
    assert (await client.ask(GET)).status == 200


@pytest.mark.parametrize("outcome", ["refused by the app", "expired"])
async def test_a_begun_stream_that_fails_ends_with_an_error_event(rig, outcome: str) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        error = {"code": "INSUFFICIENT_QUOTA", "message": "x", "details": {}, "request_id": "r"}
        await app.answer(json.dumps({"error": error, "detail": "x"}).encode(), status="402 Pay")

    router = await rig(script)
    router.plane.hold_room.first_comment_seconds = 0.05
    router.flags(hold=holding(request_seconds=0.5))
    client = await start(router, STREAM)
    assert (await client.head()).status == 200
    if outcome == "refused by the app":
        router.flags()
    found = await client.reader.readuntil(b"0\r\n\r\n")
    assert b"event: error\ndata: {" in found
    expected = b"INSUFFICIENT_QUOTA" if outcome == "refused by the app" else b"UNAVAILABLE"
    assert b'"code":"' + expected in found


async def open_socket(router: Rig) -> Client:
    client = await start(router, UPGRADE)
    assert (await client.head()).status == 101
    return client


async def socket_app(app: AppConnection) -> None:
    request = await app.request(body=False)
    key = request.values("sec-websocket-key")[0].encode()
    await app.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(key) + b"\r\n\r\n"
    )
    while data := await app.reader.read(65_536):
        await app.send(data)


CLOSE = b"\x88\x02\x03\xf4"


async def test_sockets_of_a_held_route_are_asked_to_reconnect_with_1012(rig) -> None:
    router = await rig(socket_app)
    clients = [await open_socket(router) for _ in range(3)]
    router.flags(hold=holding(total_seconds=0.4))
    for client in clients:
        assert await client.read_exactly(4) == CLOSE
        await client.send(b"\x88\x82\x00\x00\x00\x00\x03\xf4")
        assert await client.read_to_end() == b""
    await router.until(lambda: router.monolith.open == 0)


async def test_a_socket_is_asked_to_move_only_when_its_side_changes(rig, monkeypatch) -> None:
    monkeypatch.setattr("router.socket_moves.SPREAD_SECONDS", 0.1)
    router = await rig(socket_app, content=socket_app)
    client = await open_socket(router)
    router.flags(percent=0, shadow_percent=5.0)
    await client.send(b"\x81\x02hi")
    assert await client.read_exactly(4) == b"\x81\x02hi"
    router.flags(percent=100)
    assert await client.read_exactly(4) == CLOSE
    client.close()
    second = await open_socket(router)
    assert len(router.content.requests) == 1
    second.close()


async def test_the_close_frame_never_cuts_a_frame_in_two(rig) -> None:
    go = asyncio.Event()

    async def script(app: AppConnection) -> None:
        request = await app.request(body=False)
        key = request.values("sec-websocket-key")[0].encode()
        await app.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_of(key) + b"\r\n\r\n\x81\x7e\x01\x00half"
        )
        await go.wait()
        await app.send(b"x" * 252 + b"\x81\x02no")
        await app.reader.read()

    router = await rig(script)
    client = await open_socket(router)
    assert await client.read_exactly(8) == b"\x81\x7e\x01\x00half"
    router.flags(hold=holding(total_seconds=0.1))
    await asyncio.sleep(0.1)
    go.set()
    assert await client.read_exactly(256) == b"x" * 252 + CLOSE
    client.close()


async def test_a_drain_finishes_requests_and_asks_sockets_to_come_again(rig) -> None:
    gate = asyncio.Event()

    async def script(app: AppConnection) -> None:
        if app.app.connections == 1:
            await socket_app(app)
        await app.request()
        await gate.wait()
        await app.answer(b"finished")

    router = await rig(script)
    socket_client = await open_socket(router)
    running, idle = await start(router), await router.client()
    await router.until(lambda: len(router.monolith.requests) == 2)
    drained = asyncio.create_task(router.plane.drain(1.2))
    assert await socket_client.read_exactly(4) == CLOSE
    socket_client.close()
    gate.set()
    answer = await running.answer()
    assert (answer.body, answer.values("connection")) == (b"finished", ["close"])
    assert await idle.read_to_end() == b""
    assert await drained == 0
    with pytest.raises(ConnectionRefusedError):
        await router.client()
