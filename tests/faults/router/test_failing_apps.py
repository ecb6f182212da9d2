"""Apps that die, hang, reset, lie or crawl: a documented status and cause each time, and nothing leaks."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from router.upstreams import UpstreamSettings
from tests.integration.router.harness import AppConnection, Client, Rig

GET = b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
QUICK = UpstreamSettings(
    connect_seconds=5, first_byte_seconds=0.5, activity_seconds=0.5, has_health_checks=False
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


async def dies_before_answering(app: AppConnection) -> None:
    await app.request()


async def resets_before_answering(app: AppConnection) -> None:
    await app.request()
    app.reset()


async def dies_in_its_head(app: AppConnection) -> None:
    await app.request()
    await app.send(b"HTTP/1.1 200 OK\r\nContent-Le")


async def hangs(app: AppConnection) -> None:
    await app.request()
    await app.reader.read()


async def hangs_in_its_head(app: AppConnection) -> None:
    await app.request()
    await app.send(b"HTTP/1.1 200")
    await app.reader.read()


async def crawls_in_its_head(app: AppConnection) -> None:
    await app.request()
    for byte in OK * 3:
        await app.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def talks_nonsense(app: AppConnection) -> None:
    await app.request()
    await app.send(os.urandom(200) + b"\r\n\r\n")
    await app.reader.read()


async def answers_twice(app: AppConnection) -> None:
    await app.request()
    await app.send((OK + b"0123456789") * 2)
    await app.reader.read()


async def dies_in_its_body(app: AppConnection) -> None:
    await app.request()
    await app.send(OK + b"01234")


async def resets_in_its_body(app: AppConnection) -> None:
    await app.request()
    await app.send(OK + b"01234")
    await asyncio.sleep(0.05)
    app.reset()


async def hangs_in_its_body(app: AppConnection) -> None:
    await app.request()
    await app.send(OK + b"01234")
    await app.reader.read()


async def breaks_its_chunks(app: AppConnection) -> None:
    await app.request()
    await app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n")
    await asyncio.sleep(0.05)
    await app.send(b"zz\r\n")
    await app.reader.read()


async def crawls_in_its_body(app: AppConnection) -> None:
    await app.request()
    for byte in OK + b"0123456789":
        await app.send(bytes([byte]))
        await asyncio.sleep(0.005)
    await app.reader.read()


Script = Callable[[AppConnection], Awaitable[None]]

REFUSED: list[tuple[Script, int, str]] = [
    (dies_before_answering, 503, "upstream_reset"),
    (resets_before_answering, 503, "upstream_reset"),
    (dies_in_its_head, 503, "upstream_reset"),
    (hangs, 504, "first_byte_timeout"),
    (hangs_in_its_head, 504, "first_byte_timeout"),
    (crawls_in_its_head, 504, "first_byte_timeout"),
    (talks_nonsense, 503, "upstream_garbage"),
]
CUT: list[tuple[Script, str]] = [
    (dies_in_its_body, "upstream_truncated"),
    (resets_in_its_body, "upstream_truncated"),
    (hangs_in_its_body, "upstream_stalled"),
    (breaks_its_chunks, "upstream_garbage"),
]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def nothing_leaks(router: Rig, run: Callable[[], Awaitable[object]]) -> None:
    """Files, tasks and connections are the same in number after many runs as after the first."""

    async def settle() -> tuple[int, int, int]:
        await router.settled()
        await router.until(lambda: router.monolith.open == 0)
        await asyncio.sleep(0.02)
        connections = sum(up.open_connections for up in router.plane.upstreams.values())
        return open_files(), len(asyncio.all_tasks()), connections

    await run()
    before = await settle()
    await asyncio.gather(*(run() for _ in range(20)))
    router.plane.upstreams["monolith"].outlier.success(0.0)
    assert await settle() == before


async def closed(client: Client) -> None:
    client.close()
    await client.writer.wait_closed()


@pytest.mark.parametrize(("script", "status", "cause"), REFUSED)
@pytest.mark.parametrize("data", [GET, POST])
async def test_an_app_that_fails_before_its_answer(
    rig, script: Script, status: int, cause: str, data: bytes
) -> None:
    router = await rig(script, upstream=QUICK)

    async def run() -> None:
        client = await router.client()
        answer = await client.ask(data)
        error = json.loads(answer.body)["error"]
        assert answer.status == status
        assert error["code"] == ("UPSTREAM_TIMEOUT" if status == 504 else "UNAVAILABLE")
        await closed(client)

    await nothing_leaks(router, run)
    assert set(router.causes()) == {cause}


@pytest.mark.parametrize(("script", "cause"), CUT)
async def test_an_app_that_fails_inside_its_answer(rig, script: Script, cause: str) -> None:
    router = await rig(script, upstream=QUICK)

    async def run() -> None:
        client = await router.client()
        await client.send(GET)
        head = await client.head()
        assert head.status == 200
        found = await client.read_to_end()
        assert found == (b"5\r\n01234\r\n" if "chunks" in script.__name__ else b"01234")
        await closed(client)

    await nothing_leaks(router, run)
    assert set(router.causes()) == {cause}


async def test_an_app_that_crawls_but_arrives_is_waited_for(rig) -> None:
    router = await rig(crawls_in_its_body, upstream=QUICK)

    async def run() -> None:
        client = await router.client()
        answer = await client.ask(GET)
        assert (answer.status, answer.body) == (200, b"0123456789")
        await closed(client)

    await run()
    assert not router.causes()


async def test_an_app_that_answers_twice_never_poisons_the_next_request(rig) -> None:
    router = await rig(answers_twice, upstream=QUICK)

    async def run() -> None:
        client = await router.client()
        for _ in range(3):
            assert (await client.ask(GET)).body == b"0123456789"
        await closed(client)

    await nothing_leaks(router, run)
    assert router.monolith.connections == len(router.monolith.requests)


async def test_bytes_behind_an_answer_end_the_kept_connection(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(OK + b"0123456789")
        await asyncio.sleep(0.03)
        await app.send(OK + b"smuggled!!")
        await app.reader.read()

    router = await rig(script)
    client = await router.client()
    for _ in range(3):
        assert (await client.ask(GET)).body == b"0123456789"
        await asyncio.sleep(0.08)
    assert router.monolith.connections == 3


async def test_clients_that_leave_at_every_moment_leak_nothing(rig) -> None:
    async def script(app: AppConnection) -> None:
        while True:
            await app.request()
            await app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(5):
                await asyncio.sleep(0.002)
                await app.send(b"5\r\n01234\r\n")
            await app.send(b"0\r\n\r\n")

    router = await rig(script)
    turn = 0

    async def run() -> None:
        nonlocal turn
        turn += 1
        client = await router.client()
        await client.send((GET + POST)[: turn * 9 % 120 + 1])
        await asyncio.sleep(turn % 7 * 0.002)
        client.reset()

    for _ in range(3):
        await asyncio.gather(*(run() for _ in range(20)))
    await router.settled()
    await router.until(lambda: not router.plane.dispatcher.clients)
    assert set(router.causes()) <= {"client_gone"}
