"""The load's client against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from migrate.demo import http_client
from migrate.demo.http_client import KeepAliveClient, RequestFailedError


@asynccontextmanager
async def answering(
    *answers: bytes, close_after: int = 1000
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives these answers in turn to whole request heads; (port, heads that it saw)."""
    heads: list[bytes] = []

    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        for _ in range(close_after):
            try:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            writer.write(answers[(len(heads) - 1) % len(answers)])
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*handlers)


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Word: here\r\n\r\nhi"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
)


async def test_one_connection_carries_many_requests_of_any_framing() -> None:
    async with answering(GOOD, CHUNKED) as (port, heads):
        client = KeepAliveClient("127.0.0.1", port, source="127.1.2.3")
        first = await client.request("GET", "/a", {"x-request-id": "7"})
        second = await client.request("POST", "/b", {})
        client.close()
    assert (first.status, first.body, first.headers["x-word"]) == (200, b"hi", "here")
    assert (second.status, second.body) == (201, b"abcde")
    assert client.connects == 1
    assert heads[0].startswith(b"GET /a HTTP/1.1\r\n")
    assert b"x-request-id: 7\r\n" in heads[0]
    assert b"content-length: 0\r\n" in heads[1]


async def test_a_connection_that_the_server_closed_is_replaced_before_the_next_request() -> None:
    async with answering(GOOD, close_after=1) as (port, _):
        client = KeepAliveClient("127.0.0.1", port)
        await client.request("GET", "/a", {})
        await asyncio.sleep(0.1)
        assert (await client.request("GET", "/b", {})).status == 200
        client.close()
    assert client.connects == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "connection closed"),
        (b"nonsense\r\n\r\n", "malformed answer"),
    ],
)
async def test_half_an_answer_is_a_failure_and_is_not_asked_for_again(
    answer: bytes, reason: str
) -> None:
    async with answering(answer, close_after=1) as (port, heads):
        client = KeepAliveClient("127.0.0.1", port)
        with pytest.raises(RequestFailedError, match=reason):
            await client.request("GET", "/a", {})
        client.close()
    assert len(heads) == 1


async def test_no_answer_in_time_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "REQUEST_SECONDS", 0.2)
    async with answering(b"") as (port, _):
        client = KeepAliveClient("127.0.0.1", port)
        with pytest.raises(RequestFailedError, match="in time"):
            await client.request("GET", "/a", {})
        client.close()


async def test_nobody_listening_is_a_failure(unused_port: int) -> None:
    with pytest.raises(RequestFailedError, match="refused"):
        await KeepAliveClient("127.0.0.1", unused_port).request("GET", "/", {})


@pytest.fixture
def unused_port() -> int:
    from migrate.stack.ports import free_port

    return free_port()
