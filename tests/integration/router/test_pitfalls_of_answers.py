"""One test per answer pitfall: framing, informational answers, streams, upgrades."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest

from tests.integration.router.harness import AppConnection

GET = b"GET /api/search HTTP/1.1\r\nHost: a\r\n"


def scripted(answer: bytes):
    async def script(app: AppConnection) -> None:
        while True:
            await app.request()
            await app.send(answer)

    return script


async def test_pitfall_head_keeps_its_length_and_has_no_body(rig) -> None:
    router = await rig(scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"))
    client = await router.client()
    for _ in range(2):
        await client.send(b"HEAD /api/search HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer(has_body=False)
        assert answer.values("content-length") == ["1234"]
    assert router.monolith.connections == 1


async def test_pitfall_a_body_after_head_never_becomes_the_next_answer(rig) -> None:
    async def script(app: AppConnection) -> None:
        while True:
            request = await app.request()
            await app.answer(request.line.encode())

    router = await rig(script)
    client = await router.client()
    await client.send(b"HEAD /api/search HTTP/1.1\r\nHost: a\r\n\r\n")
    await client.answer(has_body=False)
    answer = await client.ask(GET + b"\r\n")
    assert answer.body == b"GET /api/search HTTP/1.1"
    assert router.monolith.connections == 2


@pytest.mark.parametrize(
    ("status", "framing", "kept"),
    [
        (b"204 No Content", b"Content-Length: 5\r\n", None),
        (b"204 No Content", b"Transfer-Encoding: chunked\r\n", None),
        (b"304 Not Modified", b"Content-Length: 5\r\n", "5"),
        (b"304 Not Modified", b"", None),
    ],
)
async def test_pitfall_204_and_304_have_no_body_and_no_coding(
    rig, status: bytes, framing: bytes, kept: str | None
) -> None:
    router = await rig(scripted(b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n"))
    client = await router.client()
    for _ in range(2):
        await client.send(GET + b"\r\n")
        answer = await client.answer(has_body=False)
        assert answer.values("content-length") == ([kept] if kept else [])
        assert not answer.values("transfer-encoding")


async def test_pitfall_any_number_of_1xx_passes_before_the_final_answer(rig) -> None:
    router = await rig(
        scripted(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        )
    )
    client = await router.client()
    for _ in range(2):
        await client.send(GET + b"\r\n")
        heads = [await client.head(), await client.head()]
        assert [head.status for head in heads] == [103, 102]
        assert heads[0].values("link") == ["</a.css>"]
        assert (await client.answer()).body == b"ok"
    old = await router.client()
    await old.send(b"GET /api/search HTTP/1.0\r\nHost: a\r\n\r\n")
    assert (await old.answer()).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 600 High\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nBroken Header: x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_garbage_of_an_app_is_a_503_with_its_own_cause(rig, answer: bytes) -> None:
    router = await rig(scripted(answer))
    assert (await router.ask(GET + b"\r\n")).status == 503
    assert router.causes() == {"upstream_garbage": 1}


async def test_pitfall_chunks_and_events_are_flushed_one_by_one_and_the_head_at_once(rig) -> None:
    step = asyncio.Semaphore(0)

    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for number in range(3):
            await step.acquire()
            event = b"id: %d\ndata: x\n\n" % number
            await app.send(b"%x\r\n%b\r\n" % (len(event), event))
        await step.acquire()
        await app.send(b"0\r\n\r\n")

    router = await rig(script)
    client = await router.client()
    await client.send(b"POST /api/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert (await client.head()).values("content-type") == ["text/event-stream"]
    for number in range(3):
        step.release()
        event = b"id: %d\ndata: x\n\n" % number
        assert await client.read_exactly(len(event) + 5) == b"%x\r\n%b\r\n" % (len(event), event)
    step.release()
    assert await client.read_exactly(5) == b"0\r\n\r\n"


async def test_pitfall_an_answer_ended_by_close_is_framed_for_http_1_1_clients(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)

    router = await rig(script)
    client = await router.client()
    for _ in range(2):
        answer = await client.ask(GET + b"\r\n")
        assert answer.body == b"x" * 1000
        assert answer.values("transfer-encoding") == ["chunked"]
    old = await router.client()
    await old.send(b"GET /api/search HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer = await old.answer()
    assert answer.body == b"x" * 1000
    assert not answer.values("transfer-encoding")
    assert answer.values("connection") == ["close"]


async def test_pitfall_set_cookie_lines_are_never_joined(rig) -> None:
    router = await rig(
        scripted(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: x\r\n"
            b"Set-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
        )
    )
    answer = await router.ask(GET + b"\r\n")
    assert answer.values("set-cookie") == ["a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT", "b=2"]


async def test_hop_by_hop_headers_of_an_answer_and_its_maker_are_taken_out(rig) -> None:
    router = await rig(
        scripted(
            b"HTTP/1.1 200 OK\r\nServer: uvicorn\r\nX-Powered-By: y\r\nConnection: keep-alive, X-Hop\r\n"
            b"Keep-Alive: timeout=9\r\nX-Hop: 1\r\nTrailer: q\r\nX-Stays: 2\r\nContent-Length: 2\r\n\r\nok"
        )
    )
    answer = await router.ask(GET + b"\r\n")
    assert [line.partition(":")[0] for line in answer.lines] == [
        "X-Stays", "Content-Length", "X-Request-Id",
    ]  # fmt: skip


def accept_of(key: bytes) -> bytes:
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1(key + guid).digest())


UPGRADE = (
    b"GET /api/socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_pitfall_a_tunnel_opens_after_101_with_the_right_accept_and_passes_bytes_both_ways(
    rig,
) -> None:
    async def script(app: AppConnection) -> None:
        request = await app.request(body=False)
        assert request.values("upgrade") == ["websocket"]
        assert request.values("connection") == ["Upgrade"]
        accept = accept_of(request.values("sec-websocket-key")[0].encode())
        await app.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\nfirst"
        )
        while data := await app.reader.read(65_536):
            await app.send(data)

    router = await rig(script)
    client = await router.client()
    await client.send(UPGRADE + b"early")
    head = await client.head()
    assert head.status == 101
    assert head.values("upgrade") == ["websocket"]
    assert await client.read_exactly(10) == b"firstearly"
    blob = bytes(range(256)) * 4000
    client.writer.write(blob)
    assert await client.read_exactly(len(blob)) == blob
    client.writer.write_eof()
    assert await client.read_to_end() == b""


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") + b"\r\n\r\n",
    ],
)
async def test_pitfall_no_tunnel_without_a_valid_handshake(rig, answer: bytes) -> None:
    router = await rig(scripted(answer))
    assert (await router.ask(UPGRADE)).status == 503
    assert router.causes() == {"upstream_garbage": 1}


async def test_pitfall_a_refused_upgrade_is_an_ordinary_answer(rig) -> None:
    router = await rig(scripted(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"))
    client = await router.client()
    answer = await client.ask(UPGRADE)
    assert (answer.status, answer.body) == (401, b"no")
    assert (await client.ask(GET + b"\r\n")).status == 401
