"""Retries, fallback, ejection and several addresses: what happens when an app fails."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from router.addresses import AddressList
from router.ejection import EjectionRules
from router.health import is_healthy
from router.upstreams import UpstreamSettings
from shared.control.model import Placement
from shared.states import DataState
from tests.integration.router.harness import App, AppConnection, Rig

GET = b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
QUICK = UpstreamSettings(connect_seconds=0.5, first_byte_seconds=0.4, activity_seconds=0.4)


async def resets(app: AppConnection) -> None:
    await app.request()
    app.reset()


async def hangs(app: AppConnection) -> None:
    await app.request()
    await app.reader.read()


async def unreachable(router: Rig, app: App) -> None:
    assert app.server is not None
    app.server.close()
    await router.until(lambda: not app.server.is_serving())


async def test_a_read_falls_back_to_the_other_side_when_nobody_listens(rig) -> None:
    router = await rig(percent=100)
    await unreachable(router, router.content)
    assert (await router.ask(GET)).body == b"monolith"
    counters = router.plane.metrics.counters
    assert counters["router_fallbacks_total", 'to="monolith"'] == 1


async def test_a_write_does_not_fall_back_even_when_nobody_listens(rig) -> None:
    router = await rig(percent=100, upstream=QUICK)
    await unreachable(router, router.content)
    answer = await router.ask(POST)
    body = json.loads(answer.body)["error"]
    assert (answer.status, body["code"]) == (503, "UNAVAILABLE")
    assert body["details"] == {"scope": "content", "until": None, "retry_after": 1}
    assert not router.monolith.requests
    assert router.causes() == {"connect_failed": 1}


async def test_a_read_falls_back_when_the_app_resets_and_a_write_does_not(rig) -> None:
    router = await rig(None, content=resets, percent=100)
    assert (await router.ask(GET)).body == b"monolith"
    assert (await router.ask(POST)).status == 503
    assert [request.line for request in router.monolith.requests] == ["GET /api/search HTTP/1.1"]


async def test_nothing_falls_back_to_the_monolith_once_the_service_owns_its_tables(rig) -> None:
    router = await rig(None, content=resets, percent=100)
    router.placements = {"content": Placement("content", DataState.OWN, 2)}
    router.flags(percent=100)
    assert (await router.ask(GET)).status == 503
    assert not router.monolith.requests


async def test_a_service_without_traffic_gets_none_because_the_monolith_fails(rig) -> None:
    router = await rig(resets, percent=0)
    assert (await router.ask(GET)).status == 503
    assert not router.content.requests
    router.flags(percent=50)
    answers = [(await router.ask(GET)).body for _ in range(3)]
    assert answers == [b"content"] * 3


async def test_a_request_is_never_repeated_after_a_byte_of_an_answer(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        app.reset()

    router = await rig(None, content=script, percent=100)
    client = await router.client()
    await client.send(GET)
    assert (await client.head()).status == 200
    assert await client.read_to_end() == b"half"
    assert not router.monolith.requests
    assert router.causes() == {"upstream_truncated": 1}


async def test_a_hanging_app_is_a_504_and_the_read_is_not_repeated(rig) -> None:
    router = await rig(hangs, upstream=QUICK)
    answer = await router.ask(GET)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (504, "UPSTREAM_TIMEOUT")
    assert router.causes() == {"first_byte_timeout": 1}
    assert len(router.monolith.requests) == 1


async def test_an_app_that_falls_silent_in_its_answer_is_cut(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await app.reader.read()

    router = await rig(script, upstream=QUICK)
    client = await router.client()
    await client.send(GET)
    await client.head()
    found = await client.read_to_end()
    assert found == b"4\r\nhalf\r\n", "an unfinished answer must not look finished"
    assert router.causes() == {"upstream_stalled": 1}


async def test_an_old_client_sees_a_cut_answer_as_a_reset(rig) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await asyncio.sleep(0.05)
        app.reset()

    router = await rig(script)
    client = await router.client()
    await client.send(b"GET /api/search HTTP/1.0\r\n\r\n")
    await client.head()
    with pytest.raises(ConnectionResetError):
        await client.read_to_end()


async def test_a_failing_app_is_ejected_after_five_failures_in_a_row_and_comes_back(rig) -> None:
    async def script(app: AppConnection) -> None:
        while True:
            await app.request()
            failing = len(app.app.requests) <= 5
            await app.answer(b"content", status="500 Oops" if failing else "200 OK")

    rules = EjectionRules(base_seconds=0.3, slow_start_seconds=0.0)
    settings = UpstreamSettings(ejection=rules)
    router = await rig(None, content=script, percent=100, upstream=settings)
    statuses = [(await router.ask(GET)).status for _ in range(5)]
    assert statuses == [500] * 5
    assert (await router.ask(GET)).body == b"monolith"
    assert router.plane.metrics.counters["router_ejections_total", 'upstream="content"'] == 1
    # What may not fall back still goes where it belongs.
    assert (await router.ask(POST)).body == b"content"
    await asyncio.sleep(0.35)
    assert (await router.ask(GET)).body == b"content"


async def test_never_both_sides_are_ejected(rig) -> None:
    async def failing(app: AppConnection) -> None:
        while True:
            await app.request()
            await app.answer(app.app.name.encode(), status="500 Oops")

    router = await rig(failing, content=failing, percent=100)
    bodies = [(await router.ask(GET)).body for _ in range(16)]
    assert bodies[:5] == [b"content"] * 5
    assert bodies[5:10] == [b"monolith"] * 5
    assert bodies[10:] == [b"content"] * 6


async def test_a_deliberate_503_does_not_eject(rig) -> None:
    async def script(app: AppConnection) -> None:
        while True:
            await app.request()
            await app.answer(b"later", status="503 Busy", headers=b"Retry-After: 5\r\n")

    router = await rig(None, content=script, percent=100)
    for _ in range(12):
        assert (await router.ask(GET)).body == b"later"


async def test_a_refused_connection_is_retried_on_the_next_address(rig, monkeypatch) -> None:
    router = await rig()
    upstream = router.plane.upstreams["monolith"]
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = nobody.getsockname()[1]
    upstream.addresses.replace(
        [("127.0.0.1", closed), ("127.0.0.1", router.monolith.port)],
        asyncio.get_running_loop().time(),
    )
    for _ in range(6):
        assert (await router.ask(POST)).body == b"monolith"
    assert not router.causes()


async def test_a_moment_without_a_listener_is_waited_out(rig) -> None:
    router = await rig()
    port = router.monolith.port
    await unreachable(router, router.monolith)
    task = asyncio.create_task(router.ask(POST))
    await asyncio.sleep(0.03)
    await router.monolith.start(port)
    assert (await task).body == b"monolith"


async def test_addresses_that_left_the_name_service_lose_their_kept_connections(rig) -> None:
    router = await rig()
    assert (await router.ask(GET)).status == 200
    upstream = router.plane.upstreams["monolith"]
    gone = upstream.addresses.replace([("127.0.0.1", 1)], 0.0)
    assert [address.port for address in gone] == [router.monolith.port]
    assert len(gone[0].idle) == 1


async def test_health_checks_move_reads_away_from_an_app_that_is_down(rig) -> None:
    router = await rig(percent=100, upstream=QUICK)
    upstream = router.plane.upstreams["content"]
    address = upstream.addresses.entries[0]
    assert await is_healthy(address, "/healthz", "content")
    await unreachable(router, router.content)
    for _ in range(3):
        address.checked(await is_healthy(address, "/healthz", "content"))
    upstream.addresses.judge()
    assert upstream.addresses.is_down
    assert (await router.ask(GET)).body == b"monolith"
    assert upstream.connects == 0


def test_an_unhealthy_address_is_asked_last_and_a_new_one_gets_a_growing_share() -> None:
    addresses = AddressList()
    addresses.replace([("a", 1), ("b", 1)], 0.0)
    for _ in range(3):
        addresses.entries[0].checked(False)
    assert {addresses.in_order(100.0)[0].host for _ in range(10)} == {"b"}
    addresses.replace([("b", 1), ("c", 1)], 100.0)
    first = [addresses.in_order(101.0)[0].host for _ in range(400)]
    assert 0 < first.count("c") < 120
    later = [addresses.in_order(200.0)[0].host for _ in range(10)]
    assert later.count("c") == 5


async def test_a_full_pool_makes_requests_wait_and_then_refuses(rig) -> None:
    settings = UpstreamSettings(connect_seconds=0.4, first_byte_seconds=5, max_connections=2)
    gate = asyncio.Event()

    async def script(app: AppConnection) -> None:
        while True:
            await app.request()
            await gate.wait()
            await app.answer()

    router = await rig(script, upstream=settings)
    clients = [await router.client() for _ in range(4)]
    for client in clients[:3]:
        await client.send(GET)
    await router.until(lambda: router.monolith.connections == 2)
    assert (await clients[2].answer()).status == 503
    assert router.causes() == {"pool_full": 1}
    await clients[3].send(GET)
    await asyncio.sleep(0.05)
    gate.set()
    for client in (clients[0], clients[1], clients[3]):
        assert (await client.answer()).status == 200
    assert router.monolith.connections == 2


async def test_retries_have_a_budget(rig) -> None:
    router = await rig(None, content=resets, percent=100)
    router.plane.attempts._budget.active = 3
    assert (await router.ask(GET)).status == 503
    router.plane.attempts._budget.active = 0
    assert (await router.ask(GET)).body == b"monolith"
    assert router.plane.attempts._budget.active == 0


async def test_a_route_without_an_address_for_its_service_stays_at_the_monolith(rig) -> None:
    router = await rig(percent=100, has_service=False)
    assert (await router.ask(GET)).body == b"monolith"
    assert (await router.ask(POST)).body == b"monolith"
