"""One test per connection pitfall: reuse, early answers, half-close, back-pressure, clients that leave."""

from __future__ import annotations

import asyncio

import pytest

from router.client_limits import ClientLimits
from tests.integration.router.harness import AppConnection, serve_ok

GET = b"GET /api/search HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /api/upload HTTP/1.1\r\nHost: a\r\n"


async def test_pitfall_expect_100_continue_is_answered_by_the_app(rig) -> None:
    async def script(app: AppConnection) -> None:
        request = await app.request(body=False)
        assert request.values("expect") == ["100-continue"]
        await app.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await app.body(request) == b"hello"
        await app.answer()

    router = await rig(script)
    client = await router.client()
    await client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert (await client.head()).status == 100
    await client.send(b"hello")
    assert (await client.answer()).status == 200


async def test_pitfall_a_final_answer_to_expect_ends_both_connections_unread(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request(body=False)
        await app.answer(b"no", status="401 Unauthorized")
        rest = await app.reader.read()
        assert rest == b"", "a connection that is owed a body was used again"

    router = await rig(script)
    client = await router.client()
    await client.send(POST + b"Expect: 100-continue\r\nContent-Length: 500000\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.values("connection")) == (401, ["close"])
    assert await client.read_to_end() == b""
    assert (await router.ask(GET + b"\r\n")).status == 401
    assert router.monolith.connections == 2


async def test_pitfall_an_app_that_ignores_expect_still_gets_the_body(rig) -> None:
    router = await rig()
    client = await router.client()
    await client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert (await client.head()).status == 100
    await client.send(b"hello")
    assert (await client.answer()).status == 200
    assert router.monolith.requests[0].body == b"hello"


async def test_pitfall_a_connection_that_is_owed_a_body_is_not_used_again(rig) -> None:
    async def script(app: AppConnection) -> None:
        request = await app.request(body=False)
        await app.answer(request.line.encode())
        await app.reader.read()

    router = await rig(script)
    client = await router.client()
    await client.send(POST + b"Content-Length: 10\r\n\r\n12345")
    first = await client.answer()
    assert first.body == b"POST /api/upload HTTP/1.1"
    assert first.values("connection") == ["close"]
    second = await router.ask(GET + b"\r\n")
    assert second.body == b"GET /api/search HTTP/1.1"
    assert router.monolith.connections == 2


@pytest.mark.parametrize("closes", ["politely", "with a reset"])
async def test_pitfall_an_answer_before_the_upload_ends_is_delivered(rig, closes: str) -> None:
    async def script(app: AppConnection) -> None:
        await app.request(body=False)
        await app.reader.readexactly(1000)
        await app.answer(
            b"too much", status="413 Content Too Large", headers=b"Connection: close\r\n"
        )
        if closes == "with a reset":
            # Unread bytes in the receive buffer turn the close into a reset.
            app.writer.close()
        else:
            app.writer.write_eof()
            while await app.reader.read(1 << 20):
                pass

    router = await rig(script)
    for _ in range(5):
        client = await router.client()
        client.writer.write(POST + b"Content-Length: 30000000\r\n\r\n")

        async def upload(client=client) -> None:
            for _ in range(300):
                client.writer.write(b"x" * 100_000)
                await client.writer.drain()

        task = asyncio.create_task(upload())
        answer = await client.answer()
        assert (answer.status, answer.body) == (413, b"too much")
        task.cancel()
        await asyncio.wait({task})
        client.close()


async def test_pitfall_a_half_closed_client_still_gets_its_answers(rig) -> None:
    gate = asyncio.Event()

    async def script(app: AppConnection) -> None:
        while True:
            await app.request()
            await gate.wait()
            await app.answer(b"late")

    router = await rig(script)
    client = await router.client()
    await client.send(GET + b"\r\n" + GET + b"\r\n")
    client.writer.write_eof()
    await router.until(lambda: bool(router.monolith.requests))
    gate.set()
    assert [(await client.answer()).body for _ in range(2)] == [b"late", b"late"]
    assert await client.read_to_end() == b""


async def test_pipelined_requests_are_answered_in_order(rig) -> None:
    async def script(app: AppConnection) -> None:
        while True:
            request = await app.request()
            await app.answer(request.line.split()[1].encode() + request.body)

    router = await rig(script)
    client = await router.client()
    await client.send(
        b"".join(
            b"GET /api/items/%d HTTP/1.1\r\nHost: a\r\n\r\n"
            b"POST /api/write HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%d\r\n0\r\n\r\n"
            b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" % (n, n)
            for n in range(5)
        )
    )
    for n in range(5):
        assert (await client.answer()).body == b"/api/items/%d" % n
        assert (await client.answer()).body == b"/api/write%d" % n
        assert b'"router"' in (await client.answer()).body


async def test_pitfall_backpressure_bounds_what_a_slow_client_makes_us_hold(rig) -> None:
    size = 60_000_000
    sent = 0

    async def script(app: AppConnection) -> None:
        nonlocal sent
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        app.writer.transport.set_write_buffer_limits(high=65_536)
        while sent < size:
            await app.send(b"x" * 100_000)
            sent += 100_000

    router = await rig(script)
    client = await router.client()
    await client.send(GET + b"\r\n")
    await client.head()
    client.writer.transport.pause_reading()
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.1)
    assert sent < size / 2
    client.writer.transport.resume_reading()
    count = 0
    while count < size:
        count += len(await client.reader.read(1 << 20))
    assert count == size


async def test_pitfall_backpressure_bounds_what_a_slow_app_makes_us_hold(rig) -> None:
    size = 60_000_000
    go = asyncio.Event()

    async def script(app: AppConnection) -> None:
        request = await app.request(body=False)
        await go.wait()
        assert len(await app.body(request)) == size
        await app.answer()

    router = await rig(script, max_body_bytes=size)
    client = await router.client()
    client.writer.write(POST + b"Content-Length: %d\r\n\r\n" % size)
    sent = 0

    async def upload() -> None:
        nonlocal sent
        while sent < size:
            client.writer.write(b"x" * 100_000)
            await client.writer.drain()
            sent += 100_000

    task = asyncio.create_task(upload())
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.1)
    assert sent < size / 2
    go.set()
    await task
    assert (await client.answer()).status == 200


async def test_pitfall_a_client_that_leaves_stops_the_apps_work(rig) -> None:
    gone = asyncio.Event()

    async def script(app: AppConnection) -> None:
        await app.request()
        try:
            await app.reader.read()
        finally:
            gone.set()

    router = await rig(script)
    client = await router.client()
    await client.send(GET + b"\r\n")
    await router.until(lambda: bool(router.monolith.requests))
    client.reset()
    async with asyncio.timeout(5):
        await gone.wait()
    await router.settled()
    assert router.causes() == {"client_gone": 1}
    rows = {row.side: row.by_method_status for row in router.plane.metrics.sides if row.requests}
    assert rows == {"monolith": {("GET", 4): 1}}


async def test_pitfall_a_client_that_leaves_a_stream_stops_it_at_the_next_event(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            await app.send(b"data: x\n\n")
            await asyncio.sleep(0.01)

    router = await rig(script)
    client = await router.client()
    await client.send(b"POST /api/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    await client.head()
    client.close()
    await router.until(lambda: router.monolith.open == 0)
    await router.settled()
    assert router.causes() == {"client_gone": 1}


@pytest.mark.parametrize("method", [b"GET", b"PUT"])
async def test_pitfall_a_stale_kept_connection_is_retried_once_for_idempotent_requests(
    rig, method: bytes
) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.answer(b"%d" % app.app.connections)
        if app.app.connections == 1:
            await app.request()
            app.reset()
        else:
            await serve_ok(app)

    router = await rig(script)
    target = b"/api/put" if method == b"PUT" else b"/api/search"
    data = method + b" " + target + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    client = await router.client()
    assert (await client.ask(data)).body == b"1"
    assert (await client.ask(data)).body == b"2"
    assert router.monolith.requests[-1].body == b"body"


async def test_pitfall_a_stale_kept_connection_is_not_retried_for_a_write(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.answer()
        await app.request()
        app.reset()

    router = await rig(script)
    data = b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    client = await router.client()
    assert (await client.ask(data)).status == 200
    assert (await client.ask(data)).status == 503
    assert len(router.monolith.requests) == 2
    assert router.causes() == {"upstream_reset": 1}


async def test_a_kept_connection_that_the_app_closed_is_not_used(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.answer()

    router = await rig(script)
    client = await router.client()
    for number in range(5):
        await router.until(lambda: router.monolith.open == 0)
        answer = await client.ask(
            b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        )
        assert answer.status == 200, number


async def test_slow_heads_get_408_and_silent_connections_are_closed(rig) -> None:
    router = await rig(limits=ClientLimits(header_seconds=0.2, idle_seconds=0.2))
    slow = await router.exchange(GET + b"X: ")
    assert slow.startswith(b"HTTP/1.1 408 ")
    assert await router.exchange(b"") == b""
    client = await router.client()
    assert (await client.ask(GET + b"\r\n")).status == 200
    assert await client.read_to_end() == b""
    assert router.causes() == {"head_timeout": 1}


async def test_a_slow_body_gets_408_and_the_app_is_let_go(rig) -> None:
    router = await rig(limits=ClientLimits(body_seconds=0.2))
    found = await router.exchange(POST + b"Content-Length: 10\r\n\r\n12345")
    assert found.startswith(b"HTTP/1.1 408 ")
    assert router.causes() == {"body_timeout": 1}


async def test_a_client_that_stops_reading_is_let_go(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            await app.send(b"x" * 100_000)

    router = await rig(script, limits=ClientLimits(write_seconds=0.3))
    client = await router.client()
    client.writer.transport.pause_reading()
    await client.send(GET + b"\r\n")
    await router.until(lambda: router.causes() == {"client_stalled": 1})


async def test_a_body_cut_by_the_client_never_looks_complete_to_the_app(rig) -> None:
    for framing in (
        b"Content-Length: 10\r\n\r\n123",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n",
    ):
        router = await rig()
        client = await router.client()
        await client.send(POST + framing)
        await router.until(lambda router=router: bool(router.monolith.requests))
        client.close()
        await router.until(lambda router=router: router.causes() == {"client_gone": 1})
        assert router.monolith.requests[0].body == b""


async def test_a_client_beyond_the_limit_gets_a_503_and_the_others_are_served(rig) -> None:
    router = await rig(limits=ClientLimits(max_clients=2))
    served = [await router.client() for _ in range(2)]
    for client in served:
        assert (await client.ask(GET + b"\r\n")).status == 200
    late = await router.client()
    answer = await late.answer()
    assert (answer.status, answer.values("retry-after")) == (503, ["1"])
    assert answer.values("connection") == ["close"]
    assert await late.read_to_end() == b""
    late.close()
    assert router.causes() == {"too_many_clients": 1}
    for client in served:
        assert (await client.ask(GET + b"\r\n")).status == 200
    served[0].close()
    await router.until(lambda: len(router.plane.dispatcher.clients) == 1)
    assert (await router.ask(GET + b"\r\n")).status == 200


async def test_what_an_open_connection_costs_can_be_read(rig) -> None:
    router = await rig()
    clients = [await router.client() for _ in range(50)]
    for client in clients:
        assert (await client.ask(GET + b"\r\n")).status == 200
    gauges = {
        line.split()[0]: float(line.split()[1])
        for line in router.plane.metrics.text().splitlines()
        if not line.startswith("#") and "{" not in line
    }
    assert gauges["router_client_connections"] == 50
    assert gauges["router_client_connections_limit"] == ClientLimits().max_clients
    assert gauges["router_open_files"] >= 50
    assert gauges["router_tasks"] == len(asyncio.all_tasks())
    assert 0 <= gauges["router_memory_bytes_per_client"] < gauges["router_memory_bytes"]
